#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace kernels::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSampleSeconds = 1e-3;
constexpr std::size_t kLeastSamples = 10;
constexpr std::size_t kMostSamples = 1000;
constexpr double kSteadySpread = 0.10;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// How many operand sets are rotated so that each call finds its own set out of the cache: twice the cache,
/// within the memory that is free. One set that alone is twice the cache needs no partner.
struct Rotation {
  std::uint64_t sets;
  bool cold;
};
Rotation rotation(std::uint64_t bytes, std::uint64_t cache, std::uint64_t usable, std::uint64_t most) {
  const std::uint64_t wanted =
      std::max<std::uint64_t>((2 * cache + bytes - 1) / std::max<std::uint64_t>(bytes, 1), 1);
  const std::uint64_t room = std::max<std::uint64_t>(usable / std::max<std::uint64_t>(bytes, 1), 1);
  const std::uint64_t sets = std::min({wanted, room, most});
  return {sets, sets * bytes >= 2 * cache};
}

/// Size of the last-level cache as the kernel describes it; 32 MiB where it does not.
std::uint64_t cpu_cache_bytes() {
  std::uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::uint64_t kibibytes = 0;
    if (file >> kibibytes) largest = std::max(largest, kibibytes * 1024);
  }
  return largest == 0 ? 32ULL << 20 : largest;
}

double rate(std::uint64_t bytes, double nanoseconds) {
  return nanoseconds > 0 ? static_cast<double>(bytes) / nanoseconds : 0;
}

Timing finish(std::vector<double> kernel, std::vector<double> limit, std::uint64_t bytes) {
  Timing timing;
  timing.samples = kernel;
  timing.kernel = summarize(std::move(kernel));
  timing.limit = summarize(std::move(limit));
  timing.bytes = bytes;
  timing.gb_per_s = rate(bytes, timing.kernel.median);
  timing.limit_gb_per_s = rate(bytes, timing.limit.median);
  if (timing.limit_gb_per_s > 0) timing.share_of_limit = timing.gb_per_s / timing.limit_gb_per_s;
  timing.unsteady = timing.kernel.spread > kSteadySpread;
  return timing;
}

/// Takes samples of two things in turns until the time is spent. Nanoseconds per call.
struct Sampler {
  double budget_seconds;
  std::vector<double> kernel;
  std::vector<double> limit;

  template <class Kernel, class Limit>
  Status run(Kernel sample_kernel, Limit sample_limit) {
    const auto begin = Clock::now();
    while (kernel.size() < kMostSamples &&
           (kernel.size() < kLeastSamples || seconds_since(begin) < budget_seconds)) {
      auto a = sample_kernel();
      if (!a) return std::unexpected(std::move(a).error());
      auto b = sample_limit();
      if (!b) return std::unexpected(std::move(b).error());
      kernel.push_back(*a);
      limit.push_back(*b);
      // A call of seconds is not repeated ten times.
      if (kernel.size() >= 3 && seconds_since(begin) > 10 * budget_seconds) break;
    }
    return {};
  }
};

/// The error of a call that was right a moment ago.
Status refused(const runtime::CallResult& result) {
  if (result) return {};
  return fail(Errc::io, result.error().kind + ": " + result.error().message);
}

using Sets = std::vector<std::vector<Operand>>;

Result<Sets> make_sets(const CheckContext& context, std::vector<Operand> first, std::uint64_t count) {
  Sets sets;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::vector<Operand> set;
    for (const Operand& operand : first) {
      Operand copy;
      copy.spec = operand.spec;
      copy.layout = operand.layout;
      copy.before = operand.before;
      set.push_back(std::move(copy));
    }
    if (auto placed = place(set, context.options); !placed) return std::unexpected(std::move(placed).error());
    for (Operand& operand : set)
      operand.before = {};
    sets.push_back(std::move(set));
  }
  return sets;
}

std::string count_text(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what;
}

std::string megabytes(std::uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

/// Host memory for the copy that is the limit: `pairs` pairs of `half` bytes each.
class HostStream {
 public:
  HostStream(std::uint64_t half, std::uint64_t pairs)
      : half_(half), pairs_(pairs), memory_(2 * half * pairs, std::byte{1}) {}
  void copy() {
    std::byte* from = memory_.data() + 2 * half_ * next_;
    std::memcpy(from + half_, from, half_);
    next_ = (next_ + 1) % pairs_;
  }

 private:
  std::uint64_t half_;
  std::uint64_t pairs_;
  std::uint64_t next_ = 0;
  std::vector<std::byte> memory_;
};

}  // namespace

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

Result<Timing> measure_cpu(const CheckContext& context, const MeasureOptions& options, Random& random) {
  auto first = make_images(*context.function, options.sizes, random, context.options);
  if (!first) return std::unexpected(std::move(first).error());
  auto bytes = bytes_moved(*context.function, options.sizes, context.options.dtype);
  auto usable = usable_bytes(nullptr);
  if (!bytes || !usable) return std::unexpected(!bytes ? bytes.error() : usable.error());
  const std::uint64_t cache = cpu_cache_bytes();
  // A quarter each for the operands and for the copy.
  const Rotation plan = rotation(set_bytes(*first), cache, *usable / 2, 4096);
  auto sets = make_sets(context, std::move(*first), plan.sets);
  if (!sets) return std::unexpected(std::move(sets).error());
  std::vector<std::vector<runtime::Value>> values;
  for (const auto& set : *sets)
    values.push_back(values_of(set));

  std::size_t next = 0;
  const auto call = [&] {
    auto result = refused(context.library->call(context.function->name, values[next]));
    next = (next + 1) % values.size();
    return result;
  };
  if (auto warm = call(); !warm) return std::unexpected(std::move(warm).error());
  auto begin = Clock::now();
  if (auto once = call(); !once) return std::unexpected(std::move(once).error());
  const double estimate = std::max(seconds_since(begin), 1e-9);
  const auto calls = static_cast<std::uint64_t>(std::max(std::ceil(kSampleSeconds / estimate), 1.0));
  HostStream stream(std::max<std::uint64_t>(*bytes / 2, 1), plan.sets);

  Sampler sampler{options.budget_seconds, {}, {}};
  const auto sample_kernel = [&]() -> Result<double> {
    const auto start = Clock::now();
    for (std::uint64_t i = 0; i < calls; ++i)
      if (auto done = call(); !done) return std::unexpected(std::move(done).error());
    return seconds_since(start) * 1e9 / static_cast<double>(calls);
  };
  const auto sample_limit = [&]() -> Result<double> {
    const auto start = Clock::now();
    for (std::uint64_t i = 0; i < calls; ++i)
      stream.copy();
    return seconds_since(start) * 1e9 / static_cast<double>(calls);
  };
  if (auto done = sampler.run(sample_kernel, sample_limit); !done)
    return std::unexpected(std::move(done).error());
  Timing timing = finish(std::move(sampler.kernel), std::move(sampler.limit), *bytes);
  timing.method = std::string(plan.cold ? "cold" : "warm") + ": " +
                  count_text(plan.sets, "buffer sets in turn, ") + megabytes(cache) + " cache; " +
                  count_text(calls, "calls per sample, one thread, monotonic clock");
  timing.limit_method = "memcpy of half the bytes, same rotation, one thread";
  return timing;
}

namespace {

/// Device memory of all operand sets in one piece, and their tensors: one allocation instead of thousands.
struct DeviceSets {
  runtime::CudaMemory memory;
  std::vector<std::unique_ptr<runtime::Tensor>> tensors;
  std::vector<std::vector<runtime::Value>> values;
};

constexpr std::uint64_t kAlignment = 256;

Status place_set(const CheckContext& context, const std::vector<Operand>& first, std::uint64_t address,
                 DeviceSets& sets) {
  std::vector<runtime::Value> values;
  for (const Operand& operand : first) {
    if (!operand.is_tensor()) {
      values.emplace_back(*operand.spec->value);
      continue;
    }
    if (auto done = context.options.cuda->write(address, operand.before); !done) return done;
    sets.tensors.push_back(std::make_unique<runtime::Tensor>(
        reinterpret_cast<void*>(address + kGuardBytes), context.options.dtype, operand.layout,
        runtime::DeviceKind::cuda, context.options.device_index));
    values.emplace_back(static_cast<const runtime::Tensor*>(sets.tensors.back().get()));
    address += (operand.before.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  sets.values.push_back(std::move(values));
  return {};
}

Result<DeviceSets> make_device_sets(const CheckContext& context, const std::vector<Operand>& first,
                                    std::uint64_t count) {
  std::uint64_t bytes = 0;
  for (const Operand& operand : first)
    bytes += (operand.before.size() + kAlignment - 1) / kAlignment * kAlignment;
  DeviceSets sets;
  auto memory = context.options.cuda->allocate(bytes * count);
  if (!memory) return std::unexpected(std::move(memory).error());
  sets.memory = std::move(*memory);
  for (std::uint64_t i = 0; i < count; ++i)
    if (auto done = place_set(context, first, sets.memory.address() + i * bytes, sets); !done)
      return std::unexpected(std::move(done).error());
  return sets;
}

/// A copy of half the bytes per call, in a graph as long as the kernel's.
Result<runtime::CudaGraph> record_limit(const runtime::Cuda& cuda, const runtime::CudaMemory& memory,
                                        std::uint64_t half, std::uint64_t pairs, std::uint64_t calls,
                                        std::string& method) {
  const auto copies = [&](bool by_kernel) {
    return cuda.record([&, by_kernel]() -> Status {
      for (std::uint64_t i = 0; i < calls; ++i) {
        const std::uint64_t from = memory.address() + 2 * half * (i % pairs);
        auto done = by_kernel ? cuda.stream_copy_async(from + half, from, half)
                              : cuda.copy_async(from + half, from, half);
        if (!done) return done;
      }
      return {};
    });
  };
  method = "copy kernel (one 16-byte vector per thread) of half the bytes, same rotation, same graph length";
  auto graph = copies(true);
  if (graph) return graph;
  method = "cuMemcpyDtoDAsync of half the bytes, same rotation, same graph length";
  return copies(false);
}

/// Either a recorded graph or, for functions that cannot be recorded, the calls themselves.
struct Replay {
  std::optional<runtime::CudaGraph> graph;
  std::function<Status()> calls;
  std::uint64_t count;

  Result<double> nanoseconds(const runtime::Cuda& cuda) const {
    auto milliseconds = graph ? cuda.time_replay(*graph) : cuda.time_calls(calls);
    if (!milliseconds) return milliseconds;
    return *milliseconds * 1e6 / static_cast<double>(count);
  }
};

Result<Replay> make_replay(const CheckContext& context, const DeviceSets& sets, std::uint64_t count) {
  const auto& cuda = *context.options.cuda;
  const auto calls = [&context, &sets, count]() -> Status {
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto& values = sets.values[i % sets.values.size()];
      if (auto done = refused(context.library->call(context.function->name, values)); !done) return done;
    }
    return {};
  };
  auto graph = cuda.record(calls);
  if (graph && graph->kernel_nodes() == 0)
    return fail(Errc::no_match, "launched no kernel on the stream that it was given");
  Replay replay{std::nullopt, calls, count};
  if (graph) {
    replay.graph.emplace(std::move(*graph));
    return replay;
  }
  // The first call after a failed recording may report that failure once more.
  (void)context.library->call(context.function->name, sets.values.front());
  if (auto done = cuda.synchronize(); !done) return std::unexpected(std::move(done).error());
  return replay;
}

std::string clock_text(const std::optional<runtime::CudaClocks>& before,
                       const std::optional<runtime::CudaClocks>& after) {
  if (!before || !after) return "not available";
  return "SM " + std::to_string(before->sm_mhz) + " -> " + std::to_string(after->sm_mhz) + " MHz, memory " +
         std::to_string(before->memory_mhz) + " -> " + std::to_string(after->memory_mhz) +
         " MHz, limit reasons " + std::to_string(before->limit_reasons) + " -> " +
         std::to_string(after->limit_reasons);
}

bool clocks_changed(const std::optional<runtime::CudaClocks>& before,
                    const std::optional<runtime::CudaClocks>& after) {
  constexpr double kTolerated = 0.02;
  if (!before || !after || before->sm_mhz == 0) return false;
  const double change = static_cast<double>(after->sm_mhz) / static_cast<double>(before->sm_mhz) - 1;
  return std::fabs(change) > kTolerated;
}

/// Calls per replay: as many as fill a millisecond, in whole rounds of the sets, so that each call is cold.
std::uint64_t calls_per_replay(double nanoseconds, std::uint64_t sets) {
  constexpr double kMost = 4000;
  const double wanted = std::clamp(kSampleSeconds * 1e9 / std::max(nanoseconds, 1.0), 1.0, kMost);
  return (static_cast<std::uint64_t>(wanted) + sets - 1) / sets * sets;
}

struct CudaPlan {
  std::vector<Operand> first;
  std::uint64_t bytes;
  Rotation rotation;
};

Result<CudaPlan> plan_cuda(const CheckContext& context, const MeasureOptions& options, Random& random) {
  constexpr std::uint64_t kMostSets = 2048;
  auto first = make_images(*context.function, options.sizes, random, context.options);
  if (!first) return std::unexpected(std::move(first).error());
  auto bytes = bytes_moved(*context.function, options.sizes, context.options.dtype);
  if (!bytes) return std::unexpected(std::move(bytes).error());
  auto usable = usable_bytes(context.options.cuda);
  if (!usable) return std::unexpected(std::move(usable).error());
  // A quarter of the free memory each for the operands and for the copy.
  const Rotation sets =
      rotation(set_bytes(*first), context.options.cuda->info().l2_bytes, *usable / 2, kMostSets);
  if (set_bytes(*first) > *usable / 2)
    return fail(Errc::unsupported, "does not fit twice into the device's free memory");
  return CudaPlan{std::move(*first), *bytes, sets};
}

}  // namespace

Result<Timing> measure_cuda(const CheckContext& context, const MeasureOptions& options, Random& random) {
  const runtime::Cuda& cuda = *context.options.cuda;
  auto plan = plan_cuda(context, options, random);
  if (!plan) return std::unexpected(std::move(plan).error());
  auto sets = make_device_sets(context, plan->first, plan->rotation.sets);
  if (!sets) return std::unexpected(std::move(sets).error());
  auto trial = make_replay(context, *sets, plan->rotation.sets);
  if (!trial) return std::unexpected(std::move(trial).error());
  auto warm = trial->nanoseconds(cuda);
  auto estimate = trial->nanoseconds(cuda);
  if (!warm || !estimate) return std::unexpected(!warm ? warm.error() : estimate.error());
  auto replay = make_replay(context, *sets, calls_per_replay(*estimate, plan->rotation.sets));
  if (!replay) return std::unexpected(std::move(replay).error());

  const std::uint64_t half = std::max<std::uint64_t>((plan->bytes / 2 + 15) / 16 * 16, 16);
  auto memory = cuda.allocate(2 * half * plan->rotation.sets);
  if (!memory) return std::unexpected(std::move(memory).error());
  if (auto filled = cuda.fill(memory->address(), std::byte{1}, memory->size()); !filled)
    return std::unexpected(std::move(filled).error());
  std::string limit_method;
  auto limit = record_limit(cuda, *memory, half, plan->rotation.sets, replay->count, limit_method);
  if (!limit) return std::unexpected(std::move(limit).error());
  const Replay limit_replay{std::move(*limit), {}, replay->count};

  // One round of each before the clocks are read: an idle device starts slow.
  for (int i = 0; i < 5; ++i)
    if (auto done = replay->nanoseconds(cuda); !done) return std::unexpected(std::move(done).error());
  const auto before = cuda.clocks();
  Sampler sampler{options.budget_seconds, {}, {}};
  auto sampled =
      sampler.run([&] { return replay->nanoseconds(cuda); }, [&] { return limit_replay.nanoseconds(cuda); });
  if (!sampled) return std::unexpected(std::move(sampled).error());
  const auto after = cuda.clocks();
  Timing timing = finish(std::move(sampler.kernel), std::move(sampler.limit), plan->bytes);
  timing.method =
      std::string(plan->rotation.cold ? "L2-cold" : "L2-warm") + ": " +
      count_text(plan->rotation.sets, "buffer sets in turn, ") + megabytes(cuda.info().l2_bytes) + " L2; " +
      count_text(replay->count, replay->graph ? "calls per graph replay, events around it"
                                              : "calls per sample, events around them (not recordable)");
  timing.limit_method = limit_method;
  timing.clocks = clock_text(before, after);
  timing.unsteady = timing.unsteady || clocks_changed(before, after);
  return timing;
}

}  // namespace kernels::bench
