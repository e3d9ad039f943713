#include <utility>
#include <vector>

#include "cuda_api_impl.h"

namespace kernels::runtime {

namespace {

constexpr int kCaptureThreadLocal = 1;
constexpr int kCaptureRelaxed = 2;

// CUgraphNodeType
constexpr int kNodeKernel = 0;
constexpr int kNodeCopy = 1;
constexpr int kNodeFill = 2;
constexpr int kNodeAllocate = 10;
constexpr int kNodeFree = 11;

// CUfunction_attribute
constexpr int kSharedBytes = 1;
constexpr int kLocalBytes = 3;
constexpr int kRegisters = 4;
constexpr int kPtxVersion = 5;
constexpr int kBinaryVersion = 6;

}  // namespace

Result<CudaGraph> Cuda::record(const std::function<Status()>& work, Recording how) const {
  const int mode = how == Recording::strict ? kCaptureThreadLocal : kCaptureRelaxed;
  if (auto done = checked(api_->begin_capture(stream_, mode), "begin recording"); !done)
    return std::unexpected(std::move(done).error());
  auto worked = work();
  void* graph = nullptr;
  auto ended = checked(api_->end_capture(stream_, &graph), "end recording");
  CudaGraph recorded(this, graph);
  if (!worked) return std::unexpected(std::move(worked).error());
  if (!ended) return std::unexpected(std::move(ended).error());
  if (auto read = read_contents(recorded); !read) return std::unexpected(std::move(read).error());
  if (auto made = checked(api_->instantiate(&recorded.executable_, graph, 0), "make the graph executable");
      !made)
    return std::unexpected(std::move(made).error());
  return recorded;
}

CudaGraph::CudaGraph(CudaGraph&& other) noexcept
    : owner_(other.owner_),
      graph_(std::exchange(other.graph_, nullptr)),
      executable_(std::exchange(other.executable_, nullptr)),
      contents_(std::move(other.contents_)) {}

CudaGraph::~CudaGraph() {
  if (executable_ != nullptr) owner_->api_->graph_exec_destroy(executable_);
  if (graph_ != nullptr) owner_->api_->graph_destroy(graph_);
}

CudaLaunch Cuda::describe_launch(void* node) const {
  CudaLaunch launch;
  KernelNode params{};
  if (api_->kernel_params == nullptr || api_->kernel_params(node, &params) != 0) return launch;
  launch.grid = params.grid;
  launch.block = params.block;
  launch.shared_bytes = params.shared_bytes;
  const char* name = nullptr;
  if (params.function != nullptr && api_->function_name != nullptr)
    api_->function_name(&name, params.function);
  if (name == nullptr && params.kernel != nullptr && api_->kernel_name != nullptr)
    api_->kernel_name(&name, params.kernel);
  if (name != nullptr) launch.name = name;
  if (params.function == nullptr && params.kernel != nullptr && api_->kernel_function != nullptr)
    api_->kernel_function(&params.function, params.kernel);
  if (params.function == nullptr || api_->function_attribute == nullptr) return launch;
  const auto attribute = [&](int which) {
    int value = 0;
    return api_->function_attribute(&value, which, params.function) == 0 ? value : 0;
  };
  launch.shared_bytes += static_cast<unsigned>(attribute(kSharedBytes));
  launch.local_bytes = attribute(kLocalBytes);
  launch.registers = attribute(kRegisters);
  launch.ptx_version = attribute(kPtxVersion);
  launch.binary_version = attribute(kBinaryVersion);
  return launch;
}

Status Cuda::read_contents(CudaGraph& graph) const {
  std::size_t count = 0;
  if (auto done = checked(api_->graph_nodes(graph.graph_, nullptr, &count), "list the graph"); !done)
    return done;
  std::vector<void*> nodes(count);
  if (count == 0) return {};
  if (auto done = checked(api_->graph_nodes(graph.graph_, nodes.data(), &count), "list the graph"); !done)
    return done;
  for (void* node : nodes) {
    int type = -1;
    if (api_->node_type(node, &type) != 0) continue;
    auto& contents = graph.contents_;
    if (type == kNodeKernel) ++contents.kernels;
    // Of a long recording the first launches say what all are.
    if (type == kNodeKernel && contents.launches.size() < CudaGraphContents::kMostLaunches)
      contents.launches.push_back(describe_launch(node));
    if (type == kNodeCopy || type == kNodeFill) ++contents.copies;
    if (type == kNodeAllocate || type == kNodeFree) ++contents.allocations;
  }
  return {};
}

}  // namespace kernels::runtime
