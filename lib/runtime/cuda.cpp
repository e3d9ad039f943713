#include "kernels/runtime/cuda.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cuda_api_impl.h"

namespace kernels::runtime {
namespace {

constexpr int kAttributeMultiprocessors = 16;
constexpr int kAttributeL2Bytes = 38;
constexpr int kAttributeCapabilityMajor = 75;
constexpr int kAttributeCapabilityMinor = 76;
constexpr unsigned kStreamNonBlocking = 1;

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

}  // namespace

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
  if (nvml_ != nullptr) read_limits();
  return {};
}

Cuda::~Cuda() {
  for (const auto& [text, module] : modules_)
    api_->module_unload(module);
  if (before_ != nullptr) api_->event_destroy(before_);
  if (after_ != nullptr) api_->event_destroy(after_);
  if (stream_ != nullptr) api_->stream_destroy(stream_);
  if (retained_) api_->release(device_);
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

Result<CudaKernel> Cuda::compile(const std::string& ptx, const char* name) const {
  CudaKernel kernel;
  void*& module = modules_[ptx];
  if (module == nullptr && api_->module_load(&module, ptx.c_str()) != 0) {
    modules_.erase(ptx);
    return fail(Errc::unsupported, "the driver did not compile `" + std::string(name) + "`");
  }
  if (auto found = checked(api_->module_function(&kernel.function_, module, name), "find a kernel"); !found)
    return std::unexpected(std::move(found).error());
  return kernel;
}

Status Cuda::launch_async(const CudaKernel& kernel, unsigned blocks, unsigned threads,
                          std::span<void*> arguments) const {
  return checked(
      api_->launch(kernel.function_, blocks, 1, 1, threads, 1, 1, 0, stream_, arguments.data(), nullptr),
      "launch a kernel");
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
  return time_between([&] { return replay_async(graph); });
}

Status Cuda::replay_async(const CudaGraph& graph) const {
  return checked(api_->graph_launch(graph.executable_, stream_), "replay the graph");
}

Result<double> Cuda::time_calls(const std::function<Status()>& work) const {
  return time_between(work);
}

}  // namespace kernels::runtime
