#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

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
  // These are told by NVML.
  std::string driver = {};  ///< "580.159.04"
  unsigned max_sm_mhz = 0;
  unsigned max_memory_mhz = 0;
  double power_limit_w = 0;
  std::optional<bool> ecc = {};
};

/// State of the device, from the management library (NVML) where that is present.
struct CudaHealth {
  unsigned sm_mhz = 0;
  unsigned memory_mhz = 0;
  std::uint64_t slowdowns = 0;  ///< NVML's bit set of reasons why clocks are lower than they could be
  std::optional<double> power_w = {};
  std::optional<double> temperature_c = {};
  std::uint64_t memory_errors = 0;  ///< ECC errors that were not corrected, since the driver was loaded
  unsigned other_processes = 0;     ///< that use the device beside this one
};

/// Those of the reasons that slow a measurement down, in words: `power limit`, `temperature`, …
std::vector<std::string> slowdown_names(std::uint64_t reasons);

/// One kernel of a recorded graph.
struct CudaLaunch {
  std::string name;  ///< mangled; empty where the driver does not tell
  std::array<unsigned, 3> grid = {};
  std::array<unsigned, 3> block = {};
  unsigned shared_bytes = 0;  ///< per block, static and dynamic
  int registers = 0;          ///< per thread
  int local_bytes = 0;        ///< per thread: spills and arrays that are not in registers
  int binary_version = 0;     ///< 90: code for 9.0
  int ptx_version = 0;
};

struct CudaGraphContents {
  static constexpr std::size_t kMostLaunches = 64;
  std::size_t kernels = 0;
  std::vector<CudaLaunch> launches = {};  ///< the first of the kernels
  std::size_t copies = 0;                 ///< memory copies and fills
  std::size_t allocations = 0;            ///< in stream order, and their ends
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

  /// What the recorded calls did. No kernel means that they launched none, or on another stream.
  const CudaGraphContents& contents() const { return contents_; }

 private:
  friend class Cuda;
  CudaGraph(const Cuda* owner, void* graph) : owner_(owner), graph_(graph) {}
  const Cuda* owner_;
  void* graph_;
  void* executable_ = nullptr;
  CudaGraphContents contents_;
};

/// A kernel of our own. The Cuda must outlive it.
class CudaKernel {
 private:
  friend class Cuda;
  void* function_ = nullptr;
};

/// What a call may do while it is recorded: nothing but launch and copy, or also allocate memory. Waiting for
/// the device is never possible.
enum class Recording { strict, relaxed };

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
  /// Cost  a millisecond or less.
  std::optional<CudaHealth> health() const;
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
  /// Compiles PTX for this device, once for every text. Errors  unsupported: the driver does not take it; io:
  /// no such kernel.
  Result<CudaKernel> compile(const std::string& ptx, const char* name) const;
  /// Puts a launch of one-dimensional blocks on the stream. `arguments` point to the values.
  Status launch_async(const CudaKernel& kernel, unsigned blocks, unsigned threads,
                      std::span<void*> arguments) const;

  /// Records what `work` puts on the stream. `work` must only launch. An error of `work` is returned as it
  /// is.
  Result<CudaGraph> record(const std::function<Status()>& work, Recording how = Recording::strict) const;
  /// Puts the recorded work on the stream, without waiting.
  Status replay_async(const CudaGraph& graph) const;
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
  void read_limits();
  Status read_contents(CudaGraph& graph) const;
  CudaLaunch describe_launch(void* node) const;
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
  mutable std::map<std::string, void*> modules_;  ///< by the PTX that they were compiled from
};

}  // namespace kernels::runtime
