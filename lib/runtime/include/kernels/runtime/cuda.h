#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/base/error.h"

namespace kernels::runtime {

/// What a CUDA device says of itself.
struct CudaDeviceInfo {
  std::string name;
  std::string uuid;        ///< "GPU-…" as nvidia-smi prints it
  int driver_version = 0;  ///< the CUDA version that the driver speaks: 13000 is 13.0
  int capability_major = 0;
  int capability_minor = 0;
  int multiprocessors = 0;
  std::uint64_t l2_bytes = 0;
  std::uint64_t total_bytes = 0;
};

/// State of the clocks, from the management library (NVML) where that is present.
struct CudaClocks {
  std::string driver;  ///< "580.159.04"
  unsigned sm_mhz = 0;
  unsigned memory_mhz = 0;
  std::uint64_t limit_reasons = 0;  ///< NVML's bit set of reasons why clocks are lower than they could be
};

class Cuda;

/// Device memory, freed when destroyed. The Cuda must outlive it.
class CudaMemory {
 public:
  CudaMemory() = default;
  CudaMemory(CudaMemory&& other) noexcept;
  CudaMemory& operator=(CudaMemory&& other) noexcept;
  ~CudaMemory();

  std::uint64_t address() const { return address_; }
  std::uint64_t size() const { return size_; }

 private:
  friend class Cuda;
  CudaMemory(const Cuda* owner, std::uint64_t address, std::uint64_t size)
      : owner_(owner), address_(address), size_(size) {}
  const Cuda* owner_ = nullptr;
  std::uint64_t address_ = 0;
  std::uint64_t size_ = 0;
};

/// Work that was recorded from the stream and can be replayed as a whole. The Cuda must outlive it.
class CudaGraph {
 public:
  CudaGraph(CudaGraph&& other) noexcept;
  CudaGraph& operator=(CudaGraph&&) = delete;
  ~CudaGraph();

  /// Kernels that the recorded calls launched. Zero means that they launched nothing, or on another stream.
  std::size_t kernel_nodes() const { return kernel_nodes_; }

 private:
  friend class Cuda;
  CudaGraph(const Cuda* owner, void* graph) : owner_(owner), graph_(graph) {}
  const Cuda* owner_;
  void* graph_;
  void* executable_ = nullptr;
  std::size_t kernel_nodes_ = 0;
};

/// One CUDA device through the driver library, which is loaded at run time: no CUDA is needed to build or
/// start.
///
/// It retains the device's primary context, as the CUDA runtime inside kernel libraries does, and owns one
/// stream. Errors  unsupported: no driver, no such device; io: any failed call, with the driver's name and
/// text for it.
///         After an illegal access every further call fails: run what may do that in a process of its own.
/// Threads  one: the context is current in the thread that opened it.
class Cuda {
 public:
  static Result<std::unique_ptr<Cuda>> open(int device);
  /// True if the driver library can be loaded and names at least one device.
  static bool available();
  Cuda(const Cuda&) = delete;
  Cuda& operator=(const Cuda&) = delete;
  ~Cuda();

  const CudaDeviceInfo& info() const { return info_; }
  std::optional<CudaClocks> clocks() const;
  void* stream() const { return stream_; }
  Result<std::uint64_t> free_bytes() const;

  Result<CudaMemory> allocate(std::uint64_t bytes) const;
  /// These three wait until they are done.
  Status write(std::uint64_t address, std::span<const std::byte> from) const;
  Status read(std::span<std::byte> to, std::uint64_t address) const;
  Status fill(std::uint64_t address, std::byte value, std::uint64_t bytes) const;
  Status synchronize() const;

  /// Copies inside the device, in order on the stream, without waiting.
  Status copy_async(std::uint64_t to, std::uint64_t from, std::uint64_t bytes) const;
  /// The same through a plain kernel: one 16-byte vector per thread, the fastest shape of a stream on current
  /// devices. Addresses and size are multiples of 16. Its code is PTX that the driver compiles at `open`.
  /// Errors  unsupported when the driver did not take the code.
  Status stream_copy_async(std::uint64_t to, std::uint64_t from, std::uint64_t bytes) const;

  /// Records what `work` puts on the stream. `work` must only launch. An error of `work` is returned as it
  /// is.
  Result<CudaGraph> record(const std::function<Status()>& work) const;
  /// Milliseconds on the device from before to after one replay. Waits.
  Result<double> time_replay(const CudaGraph& graph) const;
  /// The same for work that is put on the stream call by call: includes gaps between launches.
  Result<double> time_calls(const std::function<Status()>& work) const;

 private:
  struct Api;
  struct Nvml;
  friend class CudaMemory;
  friend class CudaGraph;
  Cuda();
  Status start(int device);
  Status read_info();
  Status count_kernels(CudaGraph& graph) const;
  Status checked(int result, const char* action) const;
  Result<double> time_between(const std::function<Status()>& work) const;

  std::unique_ptr<Api> api_;
  std::unique_ptr<Nvml> nvml_;
  CudaDeviceInfo info_;
  int device_ = 0;
  bool retained_ = false;
  void* stream_ = nullptr;
  void* before_ = nullptr;
  void* after_ = nullptr;
  void* module_ = nullptr;
  void* copy_kernel_ = nullptr;
};

}  // namespace kernels::runtime
