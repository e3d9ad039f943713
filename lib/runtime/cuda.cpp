#include "kernels/runtime/cuda.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <dlfcn.h>

// The driver's functions, declared here by what they are known to take (CUDA driver API reference, 13.0).
// Names with _v2 are the 64-bit forms that the headers of CUDA select. Handles are opaque pointers, addresses
// 64-bit numbers.

namespace kernels::runtime {
namespace {

constexpr int kAttributeMultiprocessors = 16;
constexpr int kAttributeL2Bytes = 38;
constexpr int kAttributeCapabilityMajor = 75;
constexpr int kAttributeCapabilityMinor = 76;
constexpr unsigned kStreamNonBlocking = 1;
constexpr int kCaptureThreadLocal = 1;
constexpr int kNodeKernel = 0;
constexpr unsigned kCopyThreads = 512;

// dst[i] = src[i] for 16-byte vectors i < n; one vector per thread.
constexpr char kCopyCode[] = R"(
.version 7.0
.target sm_70
.address_size 64
.visible .entry stream_copy(.param .u64 dst, .param .u64 src, .param .u64 count)
{
  .reg .pred %p;
  .reg .b32 %r<4>;
  .reg .f32 %f<4>;
  .reg .b64 %d<8>;
  mov.u32 %r0, %ctaid.x;
  mov.u32 %r1, %ntid.x;
  mov.u32 %r2, %tid.x;
  cvt.u64.u32 %d0, %r2;
  mul.wide.u32 %d1, %r0, %r1;
  add.u64 %d0, %d0, %d1;
  ld.param.u64 %d2, [count];
  setp.ge.u64 %p, %d0, %d2;
  @%p bra end;
  ld.param.u64 %d3, [dst];
  ld.param.u64 %d4, [src];
  cvta.to.global.u64 %d3, %d3;
  cvta.to.global.u64 %d4, %d4;
  shl.b64 %d5, %d0, 4;
  add.u64 %d3, %d3, %d5;
  add.u64 %d4, %d4, %d5;
  ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%d4];
  st.global.v4.f32 [%d3], {%f0, %f1, %f2, %f3};
end:
  ret;
}
)";

struct Uuid {
  std::array<unsigned char, 16> bytes;
};

std::string format_uuid(const Uuid& uuid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[uuid.bytes[i] >> 4];
    text += kDigits[uuid.bytes[i] & 15];
  }
  return text;
}

template <class F>
bool resolve(void* library, F*& function, const char* name) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

struct Cuda::Api {
  int (*init)(unsigned);
  int (*driver_version)(int*);
  int (*device_count)(int*);
  int (*device_get)(int*, int);
  int (*device_name)(char*, int, int);
  int (*device_uuid)(Uuid*, int);
  int (*device_attribute)(int*, int, int);
  int (*device_memory)(std::size_t*, int);
  int (*device_pci)(char*, int, int);
  int (*retain)(void**, int);
  int (*release)(int);
  int (*set_current)(void*);
  int (*memory_info)(std::size_t*, std::size_t*);
  int (*allocate)(std::uint64_t*, std::size_t);
  int (*free)(std::uint64_t);
  int (*to_device)(std::uint64_t, const void*, std::size_t, void*);
  int (*to_host)(void*, std::uint64_t, std::size_t, void*);
  int (*inside)(std::uint64_t, std::uint64_t, std::size_t, void*);
  int (*fill)(std::uint64_t, unsigned char, std::size_t, void*);
  int (*stream_create)(void**, unsigned);
  int (*stream_destroy)(void*);
  int (*stream_wait)(void*);
  int (*begin_capture)(void*, int);
  int (*end_capture)(void*, void**);
  int (*event_create)(void**, unsigned);
  int (*event_record)(void*, void*);
  int (*event_wait)(void*);
  int (*event_elapsed)(float*, void*, void*);
  int (*event_destroy)(void*);
  int (*graph_nodes)(void*, void**, std::size_t*);
  int (*node_type)(void*, int*);
  int (*instantiate)(void**, void*, unsigned long long);
  int (*graph_launch)(void*, void*);
  int (*graph_exec_destroy)(void*);
  int (*graph_destroy)(void*);
  int (*module_load)(void**, const void*);
  int (*module_function)(void**, void*, const char*);
  int (*module_unload)(void*);
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                void**);
  int (*error_name)(int, const char**);
  int (*error_text)(int, const char**);

  bool load(void* lib) {
    return resolve(lib, init, "cuInit") && resolve(lib, driver_version, "cuDriverGetVersion") &&
           resolve(lib, device_count, "cuDeviceGetCount") && resolve(lib, device_get, "cuDeviceGet") &&
           resolve(lib, device_name, "cuDeviceGetName") && resolve(lib, device_uuid, "cuDeviceGetUuid_v2") &&
           resolve(lib, device_attribute, "cuDeviceGetAttribute") &&
           resolve(lib, device_memory, "cuDeviceTotalMem_v2") &&
           resolve(lib, device_pci, "cuDeviceGetPCIBusId") &&
           resolve(lib, retain, "cuDevicePrimaryCtxRetain") &&
           resolve(lib, release, "cuDevicePrimaryCtxRelease_v2") &&
           resolve(lib, set_current, "cuCtxSetCurrent") && resolve(lib, memory_info, "cuMemGetInfo_v2") &&
           resolve(lib, allocate, "cuMemAlloc_v2") && resolve(lib, free, "cuMemFree_v2") && load_work(lib);
  }

 private:
  bool load_work(void* lib) {
    return resolve(lib, to_device, "cuMemcpyHtoDAsync_v2") && resolve(lib, to_host, "cuMemcpyDtoHAsync_v2") &&
           resolve(lib, inside, "cuMemcpyDtoDAsync_v2") && resolve(lib, fill, "cuMemsetD8Async") &&
           resolve(lib, stream_create, "cuStreamCreate") &&
           resolve(lib, stream_destroy, "cuStreamDestroy_v2") &&
           resolve(lib, stream_wait, "cuStreamSynchronize") &&
           resolve(lib, begin_capture, "cuStreamBeginCapture_v2") &&
           resolve(lib, end_capture, "cuStreamEndCapture") && resolve(lib, event_create, "cuEventCreate") &&
           resolve(lib, event_record, "cuEventRecord") && resolve(lib, event_wait, "cuEventSynchronize") &&
           (resolve(lib, event_elapsed, "cuEventElapsedTime_v2") ||
            resolve(lib, event_elapsed, "cuEventElapsedTime")) &&
           resolve(lib, event_destroy, "cuEventDestroy_v2") && load_graphs(lib);
  }
  bool load_graphs(void* lib) {
    return resolve(lib, graph_nodes, "cuGraphGetNodes") && resolve(lib, node_type, "cuGraphNodeGetType") &&
           resolve(lib, instantiate, "cuGraphInstantiateWithFlags") &&
           resolve(lib, graph_launch, "cuGraphLaunch") &&
           resolve(lib, graph_exec_destroy, "cuGraphExecDestroy") &&
           resolve(lib, graph_destroy, "cuGraphDestroy") && resolve(lib, module_load, "cuModuleLoadData") &&
           resolve(lib, module_function, "cuModuleGetFunction") &&
           resolve(lib, module_unload, "cuModuleUnload") && resolve(lib, launch, "cuLaunchKernel") &&
           resolve(lib, error_name, "cuGetErrorName") && resolve(lib, error_text, "cuGetErrorString");
  }
};

/// Everything here is optional: a machine without NVML reports no clocks.
struct Cuda::Nvml {
  int (*init)() = nullptr;
  int (*by_pci)(const char*, void**) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;
  int (*clock)(void*, int, unsigned*) = nullptr;
  int (*reasons)(void*, unsigned long long*) = nullptr;
  void* device = nullptr;

  bool load(const char* pci) {
    void* lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (lib == nullptr) return false;
    const bool found =
        resolve(lib, init, "nvmlInit_v2") && resolve(lib, by_pci, "nvmlDeviceGetHandleByPciBusId_v2") &&
        resolve(lib, driver, "nvmlSystemGetDriverVersion") && resolve(lib, clock, "nvmlDeviceGetClockInfo");
    if (!resolve(lib, reasons, "nvmlDeviceGetCurrentClocksEventReasons"))
      resolve(lib, reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
    return found && init() == 0 && by_pci(pci, &device) == 0;
  }
};

namespace {
/// The driver library stays loaded for the life of the process.
void* driver_library() {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  return library;
}
}  // namespace

Cuda::Cuda() : api_(std::make_unique<Api>()) {}

bool Cuda::available() {
  Api api{};
  int count = 0;
  return driver_library() != nullptr && api.load(driver_library()) && api.init(0) == 0 &&
         api.device_count(&count) == 0 && count > 0;
}

Status Cuda::checked(int result, const char* action) const {
  if (result == 0) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  api_->error_name(result, &name);
  api_->error_text(result, &text);
  return fail(Errc::io, "cannot " + std::string(action) + ": " + (name == nullptr ? "unknown error" : name) +
                            " (" + (text == nullptr ? std::to_string(result) : text) + ")");
}

Result<std::unique_ptr<Cuda>> Cuda::open(int device) {
  if (driver_library() == nullptr)
    return fail(Errc::unsupported, "no CUDA driver on this machine (libcuda.so.1)");
  std::unique_ptr<Cuda> cuda(new Cuda());  // the constructor is private
  if (!cuda->api_->load(driver_library()))
    return fail(Errc::unsupported, "the CUDA driver is too old: a function of CUDA 12 is missing");
  if (auto started = cuda->start(device); !started) return std::unexpected(std::move(started).error());
  return cuda;
}

Status Cuda::start(int device) {
  if (auto done = checked(api_->init(0), "start the CUDA driver"); !done) return done;
  int count = 0;
  if (auto done = checked(api_->device_count(&count), "count CUDA devices"); !done) return done;
  if (device < 0 || device >= count)
    return fail(Errc::unsupported,
                "no CUDA device " + std::to_string(device) + ": there are " + std::to_string(count));
  void* context = nullptr;
  if (auto done = checked(api_->device_get(&device_, device), "get the CUDA device"); !done) return done;
  if (auto done = checked(api_->retain(&context, device_), "retain the primary context"); !done) return done;
  retained_ = true;
  if (auto done = checked(api_->set_current(context), "make the context current"); !done) return done;
  if (auto done = checked(api_->stream_create(&stream_, kStreamNonBlocking), "create a stream"); !done)
    return done;
  if (auto done = checked(api_->event_create(&before_, 0), "create an event"); !done) return done;
  if (auto done = checked(api_->event_create(&after_, 0), "create an event"); !done) return done;
  // Without the copy kernel only the limit of a stream is measured in another way.
  if (api_->module_load(&module_, kCopyCode) != 0) module_ = nullptr;
  if (module_ != nullptr && api_->module_function(&copy_kernel_, module_, "stream_copy") != 0)
    copy_kernel_ = nullptr;
  return read_info();
}

Status Cuda::read_info() {
  std::array<char, 256> name{};
  std::array<char, 64> pci{};
  Uuid uuid{};
  std::size_t total = 0;
  int l2 = 0;
  if (auto done =
          checked(api_->device_name(name.data(), static_cast<int>(name.size()), device_), "read the name");
      !done)
    return done;
  api_->device_uuid(&uuid, device_);
  api_->driver_version(&info_.driver_version);
  api_->device_memory(&total, device_);
  api_->device_attribute(&l2, kAttributeL2Bytes, device_);
  api_->device_attribute(&info_.multiprocessors, kAttributeMultiprocessors, device_);
  api_->device_attribute(&info_.capability_major, kAttributeCapabilityMajor, device_);
  api_->device_attribute(&info_.capability_minor, kAttributeCapabilityMinor, device_);
  api_->device_pci(pci.data(), static_cast<int>(pci.size()), device_);
  info_.name = name.data();
  info_.uuid = format_uuid(uuid);
  info_.l2_bytes = static_cast<std::uint64_t>(l2);
  info_.total_bytes = total;
  nvml_ = std::make_unique<Nvml>();
  if (!nvml_->load(pci.data())) nvml_.reset();
  return {};
}

Cuda::~Cuda() {
  if (module_ != nullptr) api_->module_unload(module_);
  if (before_ != nullptr) api_->event_destroy(before_);
  if (after_ != nullptr) api_->event_destroy(after_);
  if (stream_ != nullptr) api_->stream_destroy(stream_);
  if (retained_) api_->release(device_);
}

std::optional<CudaClocks> Cuda::clocks() const {
  if (nvml_ == nullptr) return std::nullopt;
  constexpr int kSm = 1;
  constexpr int kMemory = 2;
  CudaClocks clocks;
  std::array<char, 96> driver{};
  unsigned long long reasons = 0;
  if (nvml_->driver(driver.data(), static_cast<unsigned>(driver.size())) == 0) clocks.driver = driver.data();
  nvml_->clock(nvml_->device, kSm, &clocks.sm_mhz);
  nvml_->clock(nvml_->device, kMemory, &clocks.memory_mhz);
  if (nvml_->reasons != nullptr && nvml_->reasons(nvml_->device, &reasons) == 0)
    clocks.limit_reasons = reasons;
  return clocks;
}

Result<std::uint64_t> Cuda::free_bytes() const {
  std::size_t free = 0;
  std::size_t total = 0;
  if (auto done = checked(api_->memory_info(&free, &total), "ask for free device memory"); !done)
    return std::unexpected(std::move(done).error());
  return free;
}

Result<CudaMemory> Cuda::allocate(std::uint64_t bytes) const {
  std::uint64_t address = 0;
  const std::uint64_t size = std::max<std::uint64_t>(bytes, 1);
  if (auto done = checked(api_->allocate(&address, size), "allocate device memory"); !done)
    return std::unexpected(
        std::move(done).error().while_doing("asking for " + std::to_string(size) + " bytes"));
  return CudaMemory(this, address, bytes);
}

CudaMemory::CudaMemory(CudaMemory&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      address_(std::exchange(other.address_, 0)),
      size_(std::exchange(other.size_, 0)) {}

CudaMemory& CudaMemory::operator=(CudaMemory&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(address_, other.address_);
  std::swap(size_, other.size_);
  return *this;
}

CudaMemory::~CudaMemory() {
  if (owner_ != nullptr) owner_->api_->free(address_);
}

Status Cuda::synchronize() const {
  return checked(api_->stream_wait(stream_), "finish the work on the device");
}

Status Cuda::write(std::uint64_t address, std::span<const std::byte> from) const {
  if (from.empty()) return {};
  if (auto done = checked(api_->to_device(address, from.data(), from.size(), stream_), "copy to the device");
      !done)
    return done;
  return synchronize();
}

Status Cuda::read(std::span<std::byte> to, std::uint64_t address) const {
  if (to.empty()) return {};
  if (auto done = checked(api_->to_host(to.data(), address, to.size(), stream_), "copy from the device");
      !done)
    return done;
  return synchronize();
}

Status Cuda::fill(std::uint64_t address, std::byte value, std::uint64_t bytes) const {
  if (bytes == 0) return {};
  const int result = api_->fill(address, static_cast<unsigned char>(value), bytes, stream_);
  if (auto done = checked(result, "fill device memory"); !done) return done;
  return synchronize();
}

Status Cuda::copy_async(std::uint64_t to, std::uint64_t from, std::uint64_t bytes) const {
  return checked(api_->inside(to, from, bytes, stream_), "copy inside the device");
}

Status Cuda::stream_copy_async(std::uint64_t to, std::uint64_t from, std::uint64_t bytes) const {
  if (copy_kernel_ == nullptr) return fail(Errc::unsupported, "the driver did not compile the copy kernel");
  std::uint64_t count = bytes / 16;
  const std::uint64_t blocks = std::max<std::uint64_t>((count + kCopyThreads - 1) / kCopyThreads, 1);
  void* arguments[] = {&to, &from, &count};
  return checked(api_->launch(copy_kernel_, static_cast<unsigned>(blocks), 1, 1, kCopyThreads, 1, 1, 0,
                              stream_, arguments, nullptr),
                 "launch the copy kernel");
}

Result<CudaGraph> Cuda::record(const std::function<Status()>& work) const {
  if (auto done = checked(api_->begin_capture(stream_, kCaptureThreadLocal), "begin recording"); !done)
    return std::unexpected(std::move(done).error());
  auto worked = work();
  void* graph = nullptr;
  auto ended = checked(api_->end_capture(stream_, &graph), "end recording");
  CudaGraph recorded(this, graph);
  if (!worked) return std::unexpected(std::move(worked).error());
  if (!ended) return std::unexpected(std::move(ended).error());
  if (auto counted = count_kernels(recorded); !counted) return std::unexpected(std::move(counted).error());
  if (auto made = checked(api_->instantiate(&recorded.executable_, graph, 0), "make the graph executable");
      !made)
    return std::unexpected(std::move(made).error());
  return recorded;
}

Status Cuda::count_kernels(CudaGraph& graph) const {
  std::size_t count = 0;
  if (auto done = checked(api_->graph_nodes(graph.graph_, nullptr, &count), "list the graph"); !done)
    return done;
  std::vector<void*> nodes(count);
  if (count == 0) return {};
  if (auto done = checked(api_->graph_nodes(graph.graph_, nodes.data(), &count), "list the graph"); !done)
    return done;
  for (void* node : nodes) {
    int type = -1;
    if (api_->node_type(node, &type) == 0 && type == kNodeKernel) ++graph.kernel_nodes_;
  }
  return {};
}

CudaGraph::CudaGraph(CudaGraph&& other) noexcept
    : owner_(other.owner_),
      graph_(std::exchange(other.graph_, nullptr)),
      executable_(std::exchange(other.executable_, nullptr)),
      kernel_nodes_(other.kernel_nodes_) {}

CudaGraph::~CudaGraph() {
  if (executable_ != nullptr) owner_->api_->graph_exec_destroy(executable_);
  if (graph_ != nullptr) owner_->api_->graph_destroy(graph_);
}

Result<double> Cuda::time_between(const std::function<Status()>& work) const {
  if (auto done = checked(api_->event_record(before_, stream_), "record an event"); !done)
    return std::unexpected(std::move(done).error());
  if (auto done = work(); !done) return std::unexpected(std::move(done).error());
  if (auto done = checked(api_->event_record(after_, stream_), "record an event"); !done)
    return std::unexpected(std::move(done).error());
  if (auto done = checked(api_->event_wait(after_), "wait for the device"); !done)
    return std::unexpected(std::move(done).error());
  float milliseconds = 0;
  if (auto done = checked(api_->event_elapsed(&milliseconds, before_, after_), "read the time"); !done)
    return std::unexpected(std::move(done).error());
  return static_cast<double>(milliseconds);
}

Result<double> Cuda::time_replay(const CudaGraph& graph) const {
  return time_between(
      [&] { return checked(api_->graph_launch(graph.executable_, stream_), "replay the graph"); });
}

Result<double> Cuda::time_calls(const std::function<Status()>& work) const {
  return time_between(work);
}

}  // namespace kernels::runtime
