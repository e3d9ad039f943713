#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "check.h"
#include "cpu_counters.h"
#include "sampling.h"
#include "stream.h"

namespace kernels::bench {

/// A function that was found right, set up so that it can be timed again and again beside its limits.
class Meter {
 public:
  Meter() = default;
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;
  virtual ~Meter() = default;

  /// What will be sampled and how: a timing whose series are all empty.
  virtual Timing plan() const = 0;
  /// That all samples are taken on; none where it is not one, or it may change.
  virtual std::optional<unsigned> processor() const { return std::nullopt; }
  /// Takes `count` samples of each kind, one after the other in turn. Errors  io: the device or the kernel
  /// failed.
  virtual Result<SampleBatch> sample(std::uint32_t count) = 0;
};

/// Errors  unsupported: no room for the operands and their limit; io.
/// `counters`: opened before the library was, so that they see its threads; null: none. `processor`: where
/// one thread is to stay, if the process may run there; none: where it is.
Result<std::unique_ptr<Meter>> make_cpu_meter(const CheckContext& context, const Sizes& sizes, Random& random,
                                              const CpuCounters* counters, std::optional<unsigned> processor);
/// Errors  as above.
Result<std::unique_ptr<Meter>> make_cuda_meter(const CheckContext& context, const Sizes& sizes,
                                               Random& random);

/// The compulsory traffic of one call. Errors  as of `bytes_moved`.
Result<Traffic> traffic_of(const FunctionSpec& function, const Sizes& sizes, DType dtype);

/// How many sets of operands are used in turn, so that each call finds its own out of the cache: as many as
/// are twice the cache, within `room` bytes and `most` sets. Pure.
struct Rotation {
  std::uint64_t sets = 1;
  bool is_cold = false;
};
Rotation rotation(std::uint64_t bytes, std::uint64_t cache, std::uint64_t room, std::uint64_t most);

/// This machine's processor as a device.
DeviceRecord cpu_device();
/// "Intel Xeon …" from /proc/cpuinfo, or "CPU".
std::string cpu_name();
/// Of the last level, as the system describes it; 32 MiB where it does not.
std::uint64_t cpu_cache_bytes();

/// The error of a call that was right a moment ago.
Status refused(const runtime::CallResult& result);

/// How a kernel's call behaves towards the device, found out by recording one. Leaves no error behind.
/// Errors  io: the device failed.
Result<Probe> probe_call(const CheckContext& context, const Sizes& sizes, Random& random);

}  // namespace kernels::bench
