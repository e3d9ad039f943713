#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/base/log.h"

#include "meter.h"

namespace kernels::bench {

namespace {

using Clock = std::chrono::steady_clock;
using runtime::Cuda;
using runtime::CudaGraph;
using runtime::CudaMemory;

constexpr double kSampleNanoseconds = 1e6;
constexpr std::uint64_t kMostSets = 2048;
constexpr std::uint64_t kMostCalls = 4000;

Moment moment(const Cuda& cuda) {
  Moment now;
  const auto health = cuda.health();
  if (!health) return now;
  now.clock_mhz = health->sm_mhz;
  now.memory_mhz = health->memory_mhz;
  now.power_w = health->power_w;
  now.temperature_c = health->temperature_c;
  now.slowed_by = runtime::slowdown_names(health->slowdowns);
  now.other_processes = health->other_processes;
  now.memory_errors = health->memory_errors;
  return now;
}

/// Device memory of all operand sets in one piece, and their tensors: one allocation instead of thousands.
struct DeviceSets {
  CudaMemory memory;
  std::vector<std::unique_ptr<runtime::Tensor>> tensors;
  std::vector<std::vector<runtime::Value>> values;
  std::vector<std::unique_ptr<runtime::BoundCall>> calls;
};

std::uint64_t placed_bytes(const std::vector<Operand>& operands) {
  std::uint64_t bytes = 0;
  for (const Operand& operand : operands)
    bytes += aligned_size(operand.before.size());
  return bytes;
}

/// Fills the set at `address` with the operands' contents: the first set from the host, the others from the
/// first, which takes a fraction of the time. The caller waits for it.
Status place_set(const CheckContext& context, const std::vector<Operand>& first, std::uint64_t address,
                 DeviceSets& sets) {
  const auto& cuda = *context.options.cuda;
  const std::uint64_t from_first = address - sets.memory.address();
  std::vector<runtime::Value> values;
  for (const Operand& operand : first) {
    if (!operand.is_tensor()) {
      values.emplace_back(*operand.spec->value);
      continue;
    }
    auto done = from_first == 0 ? cuda.write(address, operand.before)
                                : cuda.copy_async(address, address - from_first, operand.before.size());
    if (!done) return done;
    sets.tensors.push_back(std::make_unique<runtime::Tensor>(
        device_pointer(address + kGuardBytes), operand.dtype, operand.layout, runtime::DeviceKind::cuda,
        context.options.device_index));
    values.emplace_back(static_cast<const runtime::Tensor*>(sets.tensors.back().get()));
    address += aligned_size(operand.before.size());
  }
  auto bound = context.library->bind(context.function->name, values);
  if (!bound) return fail(std::move(bound).error());
  sets.calls.push_back(std::move(*bound));
  sets.values.push_back(std::move(values));
  return {};
}

Result<DeviceSets> make_device_sets(const CheckContext& context, const std::vector<Operand>& first,
                                    std::uint64_t count) {
  const auto bytes = placed_bytes(first);
  DeviceSets sets;
  auto memory = context.options.cuda->allocate(bytes * count);
  if (!memory) return fail(std::move(memory).error());
  sets.memory = std::move(*memory);
  for (std::uint64_t i = 0; i < count; ++i)
    if (auto done = place_set(context, first, sets.memory.address() + i * bytes, sets); !done)
      return fail(std::move(done).error());
  if (auto done = context.options.cuda->synchronize(); !done) return fail(std::move(done).error());
  return sets;
}

/// Either a recorded graph or, for what cannot be recorded, the calls themselves.
struct Replay {
  std::optional<CudaGraph> graph;
  std::function<Status()> calls;
  std::uint64_t count = 1;

  /// Per call, from before the first to after the last.
  Result<double> nanoseconds(const Cuda& cuda) const {
    auto milliseconds = graph ? cuda.time_replay(*graph) : cuda.time_calls(calls);
    if (!milliseconds) return milliseconds;
    return *milliseconds * 1e6 / static_cast<double>(count);
  }
};

/// Whatever an earlier failed recording left in the library's own error state is taken by one call.
Status settle(const CheckContext& context, runtime::BoundCall& call) {
  if (auto again = call(); !again) log(LogLevel::debug, "after a failed recording: " + again.error().message);
  return context.options.cuda->synchronize();
}

/// Calls per replay: as many as fill a millisecond, in whole rounds of the sets, so that each call is cold.
std::uint64_t calls_per_replay(double nanoseconds, std::uint64_t sets) {
  const double wanted =
      std::clamp(kSampleNanoseconds / std::max(nanoseconds, 1.0), 1.0, static_cast<double>(kMostCalls));
  return (static_cast<std::uint64_t>(wanted) + sets - 1) / sets * sets;
}

class CudaMeter final : public Meter {
 public:
  CudaMeter(const CheckContext& context, Traffic traffic, std::uint64_t flops, Rotation rotation)
      : context_(context),
        cuda_(*context.options.cuda),
        traffic_(traffic),
        flops_(flops),
        rotation_(rotation) {}

  Status start(const std::vector<Operand>& first) {
    auto sets = make_device_sets(context_, first, rotation_.sets);
    if (!sets) return fail(std::move(sets).error());
    sets_ = std::move(*sets);
    if (auto made = make_flush(); !made) return made;
    for (auto step : {&CudaMeter::record_kernel, &CudaMeter::record_baseline, &CudaMeter::record_limits,
                      &CudaMeter::record_floor, &CudaMeter::warm_up})
      if (auto done = (this->*step)(); !done) return done;
    return {};
  }

  Timing plan() const override {
    Timing timing;
    for (auto kind : {SeriesKind::cold, SeriesKind::limit, SeriesKind::single, SeriesKind::floor})
      timing.series[kind];
    if (warm_) timing.series[SeriesKind::warm];
    if (warm_limit_) timing.series[SeriesKind::warm_limit];
    if (baseline_) timing.series[SeriesKind::reference];
    timing.bytes = traffic_.bytes();
    timing.flops = flops_;
    timing.method = std::string(rotation_.is_cold ? "L2-cold" : "L2-warm") + ": " +
                    std::to_string(rotation_.sets) + " buffer sets in turn after a flush of " +
                    std::to_string(cuda_.info().l2_bytes >> 20) + " MiB L2; " + std::to_string(cold_->count) +
                    (cold_->graph ? " calls per graph replay, events around it"
                                  : " calls per sample, events around them (not recordable)");
    timing.limit_method = limit_method_;
    return timing;
  }

  Result<SampleBatch> sample(std::uint32_t count) override {
    SampleBatch batch;
    const auto before = moment(cuda_);
    for (std::uint32_t i = 0; i < count; ++i)
      if (auto taken = sample_each(batch); !taken) return fail(std::move(taken).error());
    const auto after = moment(cuda_);
    batch.conditions = conditions_of(before, after);
    batch.disturbed = disturbance(before, after);
    return batch;
  }

 private:
  Status call(std::uint64_t set) const { return refused((*sets_.calls[set])()); }

  using Calls = std::vector<std::unique_ptr<runtime::BoundCall>>;

  Result<Replay> record_calls(std::uint64_t count, std::uint64_t sets) {
    return record_calls(sets_.calls, count, sets);
  }

  /// `count` calls over the first `sets` sets in turn.
  Result<Replay> record_calls(const Calls& all, std::uint64_t count, std::uint64_t sets) {
    const auto calls = [&all, count, sets]() -> Status {
      for (std::uint64_t i = 0; i < count; ++i)
        if (auto done = refused((*all[i % sets])()); !done) return done;
      return {};
    };
    Replay replay{.graph = std::nullopt, .calls = calls, .count = count};
    if (is_recordable_) {
      auto graph = cuda_.record(calls);
      if (graph) {
        replay.graph.emplace(std::move(*graph));
        return replay;
      }
      is_recordable_ = false;
      if (auto settled = settle(context_, *sets_.calls.front()); !settled)
        return fail(std::move(settled).error());
    }
    return replay;
  }

  Status record_kernel() {
    auto trial = record_calls(rotation_.sets, rotation_.sets);
    if (!trial) return fail(std::move(trial).error());
    for (int i = 0; i < 2; ++i) {
      auto time = trial->nanoseconds(cuda_);
      if (!time) return fail(std::move(time).error());
      estimate_ = *time;
    }
    auto cold = record_calls(calls_per_replay(estimate_, rotation_.sets), rotation_.sets);
    if (!cold) return fail(std::move(cold).error());
    cold_.emplace(std::move(*cold));
    if (2 * traffic_.bytes() > cuda_.info().l2_bytes) return {};
    auto warm = record_calls(calls_per_replay(estimate_, 1), 1);
    if (!warm) return fail(std::move(warm).error());
    warm_.emplace(std::move(*warm));
    return {};
  }

  /// On the operands of the kernel, in the same turn.
  Status record_baseline() {
    const auto& name = context_.function->baseline;
    if (name.empty()) return {};
    for (const auto& values : sets_.values) {
      auto bound = context_.library->bind(name, values);
      if (!bound) return fail(std::move(bound).error());
      baseline_calls_.push_back(std::move(*bound));
    }
    auto trial = record_calls(baseline_calls_, rotation_.sets, rotation_.sets);
    if (!trial) return fail(std::move(trial).error());
    auto time = trial->nanoseconds(cuda_);
    if (time) time = trial->nanoseconds(cuda_);
    if (!time) return fail(std::move(time).error());
    auto baseline = record_calls(baseline_calls_, calls_per_replay(*time, rotation_.sets), rotation_.sets);
    if (!baseline) return fail(std::move(baseline).error());
    baseline_.emplace(std::move(*baseline));
    return {};
  }

  /// Reads more than the cache holds, so that nothing of the operands is left in it.
  Status make_flush() {
    const Traffic sweep{.read = std::max<std::uint64_t>(2 * cuda_.info().l2_bytes, 64 << 20)};
    StreamPlan plan{.shape = {.reads = 1, .writes = 0}, .vectors = sweep.read / 16};
    auto stream = Stream::make(cuda_, plan);
    if (!stream) return fail(std::move(stream).error());
    auto memory = cuda_.allocate(footprint(plan));
    if (!memory) return fail(std::move(memory).error());
    if (auto filled = cuda_.fill(memory->address(), std::byte{1}, memory->size()); !filled) return filled;
    flush_.emplace(*stream);
    flush_memory_ = std::move(*memory);
    return {};
  }

  /// The stream in a graph as long as the kernel's, over as many sets.
  Result<Replay> record_stream(const Stream& stream, std::uint64_t sets, std::uint64_t count) const {
    const auto bytes = footprint(stream.plan());
    auto graph = cuda_.record([&]() -> Status {
      for (std::uint64_t i = 0; i < count; ++i)
        if (auto done = stream.run_async(cuda_, limit_memory_.address() + bytes * (i % sets)); !done)
          return done;
      return {};
    });
    if (!graph) return fail(std::move(graph).error());
    Replay replay{.graph = std::nullopt, .calls = {}, .count = count};
    replay.graph.emplace(std::move(*graph));
    return replay;
  }

  /// The fastest of all plans, each tried a few times in the state in which it will be measured.
  Result<Replay> fastest_stream(const std::vector<StreamPlan>& plans, std::uint64_t sets, std::uint64_t count,
                                std::string* method) {
    std::optional<Replay> best;
    double best_time = HUGE_VAL;
    for (const auto& plan : plans) {
      auto stream = Stream::make(cuda_, plan);
      if (!stream) return fail(std::move(stream).error());
      auto replay = record_stream(*stream, sets, count);
      if (!replay) return replay;
      std::vector<double> times;
      for (int i = 0; i < 4; ++i) {
        if (auto flushed = flush(); !flushed) return fail(std::move(flushed).error());
        auto time = replay->nanoseconds(cuda_);
        if (!time) return fail(std::move(time).error());
        if (i > 0) times.push_back(*time);  // the first one loads the code
      }
      const double time = summarize(times).median;
      if (time >= best_time) continue;
      best_time = time;
      best.emplace(std::move(*replay));
      if (method != nullptr)
        *method = "fastest of " + std::to_string(plans.size()) + " streams: " + plan.describe();
    }
    return std::move(*best);
  }

  Status record_limits() {
    const auto plans = plans_for(traffic_);
    std::uint64_t most = 0;
    for (const auto& plan : plans)
      most = std::max(most, footprint(plan));
    auto memory = cuda_.allocate(most * rotation_.sets);
    if (!memory) return fail(std::move(memory).error());
    if (auto filled = cuda_.fill(memory->address(), std::byte{1}, memory->size()); !filled) return filled;
    limit_memory_ = std::move(*memory);
    auto limit = fastest_stream(plans, rotation_.sets, cold_->count, &limit_method_);
    if (!limit) return fail(std::move(limit).error());
    limit_.emplace(std::move(*limit));
    if (!warm_) return {};
    auto warm = fastest_stream(plans, 1, warm_->count, nullptr);
    if (!warm) return fail(std::move(warm).error());
    warm_limit_.emplace(std::move(*warm));
    return {};
  }

  Status record_floor() {
    constexpr std::uint64_t kLaunches = 1000;
    auto kernel = cuda_.compile(empty_ptx(), "nothing");
    if (!kernel) return fail(std::move(kernel).error());
    auto graph = cuda_.record([&]() -> Status {
      for (std::uint64_t i = 0; i < kLaunches; ++i)
        if (auto done = cuda_.launch_async(*kernel, 1, 32, {}); !done) return done;
      return {};
    });
    if (!graph) return fail(std::move(graph).error());
    floor_.emplace(Replay{.graph = std::nullopt, .calls = {}, .count = kLaunches});
    floor_->graph.emplace(std::move(*graph));
    return {};
  }

  /// An idle device starts slow: work until the clocks have had time to rise.
  Status warm_up() {
    constexpr auto kLong = std::chrono::milliseconds(200);
    const auto begin = Clock::now();
    do {
      auto time = cold_->nanoseconds(cuda_);
      if (!time) return fail(std::move(time).error());
    } while (Clock::now() - begin < kLong);
    return {};
  }

  Status flush() const { return flush_->run_async(cuda_, flush_memory_.address()); }

  /// From event to event around one call, as `do_bench` of Triton does. The flush takes so long that the host
  /// has put everything on the stream before the device gets there: what is measured is not the host.
  Result<double> single_call() const {
    for (int i = 0; i < 4; ++i)
      if (auto flushed = flush(); !flushed) return fail(std::move(flushed).error());
    auto milliseconds = cuda_.time_calls([this] { return call(0); });
    if (!milliseconds) return milliseconds;
    return *milliseconds * 1e6;
  }

  Status keep(SampleBatch& batch, SeriesKind kind, Result<double> sample) const {
    if (!sample) return fail(std::move(sample).error());
    batch.samples[kind].push_back(*sample);
    return {};
  }

  Status sample_each(SampleBatch& batch) {
    for (auto [kind, replay] : {std::pair{SeriesKind::cold, &*cold_}, {SeriesKind::limit, &*limit_}}) {
      if (auto flushed = flush(); !flushed) return flushed;
      if (auto done = keep(batch, kind, replay->nanoseconds(cuda_)); !done) return done;
    }
    if (baseline_) {
      if (auto flushed = flush(); !flushed) return flushed;
      if (auto done = keep(batch, SeriesKind::reference, baseline_->nanoseconds(cuda_)); !done) return done;
    }
    if (warm_)
      if (auto done = keep(batch, SeriesKind::warm, warm_->nanoseconds(cuda_)); !done) return done;
    if (warm_limit_)
      if (auto done = keep(batch, SeriesKind::warm_limit, warm_limit_->nanoseconds(cuda_)); !done)
        return done;
    if (auto done = keep(batch, SeriesKind::floor, floor_->nanoseconds(cuda_)); !done) return done;
    return keep(batch, SeriesKind::single, single_call());
  }

  CheckContext context_;
  const Cuda& cuda_;
  Traffic traffic_;
  std::uint64_t flops_;
  Rotation rotation_;
  DeviceSets sets_;
  Calls baseline_calls_;
  CudaMemory flush_memory_;
  CudaMemory limit_memory_;
  std::optional<Stream> flush_;
  std::optional<Replay> cold_;
  std::optional<Replay> baseline_;
  std::optional<Replay> warm_;
  std::optional<Replay> limit_;
  std::optional<Replay> warm_limit_;
  std::optional<Replay> floor_;
  std::string limit_method_;
  double estimate_ = 0;
  bool is_recordable_ = true;
};

Probe describe(const runtime::CudaGraphContents& contents) {
  Probe probe;
  for (const auto& launch : contents.launches)
    probe.launches.push_back({.name = launch.name,
                              .grid = launch.grid,
                              .block = launch.block,
                              .shared_bytes = launch.shared_bytes,
                              .registers = launch.registers,
                              .local_bytes = launch.local_bytes,
                              .binary_version = launch.binary_version,
                              .ptx_version = launch.ptx_version});
  probe.copies = static_cast<std::uint32_t>(contents.copies);
  probe.is_recordable = true;
  if (contents.kernels == 0 && contents.copies == 0)
    probe.faults.emplace_back("launches nothing on the stream that it was given");
  if (contents.allocations > 0) probe.faults.emplace_back("allocates memory inside");
  return probe;
}

}  // namespace

Result<Probe> probe_call(const CheckContext& context, const Sizes& sizes, Random& random) {
  constexpr auto kLongOnHost = std::chrono::milliseconds(2);
  const auto& cuda = *context.options.cuda;
  auto first = make_images(*context.function, sizes, random, context.options);
  if (!first) return fail(std::move(first).error());
  auto sets = make_device_sets(context, *first, 1);
  if (!sets) return fail(std::move(sets).error());
  auto host_time = Clock::duration::max();
  const auto call = [&]() -> Status {
    const auto begin = Clock::now();
    auto done = refused((*sets->calls.front())());
    host_time = std::min(host_time, Clock::now() - begin);
    return done;
  };
  std::optional<Probe> probe;
  // Twice: the first call loads code, which takes its time on the host.
  for (int i = 0; i < 2; ++i)
    if (auto graph = cuda.record(call); graph) probe = describe(graph->contents());
  if (!probe) {
    if (auto settled = settle(context, *sets->calls.front()); !settled)
      return fail(std::move(settled).error());
    probe.emplace();
    auto relaxed = cuda.record(call, runtime::Recording::relaxed);
    probe->faults.emplace_back(relaxed ? "allocates memory inside" : "waits for the device inside");
    if (auto settled = settle(context, *sets->calls.front()); !settled)
      return fail(std::move(settled).error());
  }
  if (host_time > kLongOnHost)
    probe->faults.push_back(
        "sleeps or computes on the host: " +
        std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(host_time).count()) +
        " ms per call");
  return std::move(*probe);
}

Result<std::unique_ptr<Meter>> make_cuda_meter(const CheckContext& context, const Sizes& sizes,
                                               Random& random) {
  const Cuda& cuda = *context.options.cuda;
  auto first = make_images(*context.function, sizes, random, context.options);
  if (!first) return fail(std::move(first).error());
  auto traffic = traffic_of(*context.function, sizes, context.options.dtype);
  if (!traffic) return fail(std::move(traffic).error());
  auto flops = flops_of(*context.function, sizes);
  if (!flops) return fail(std::move(flops).error());
  auto usable = usable_bytes(&cuda);
  if (!usable) return fail(std::move(usable).error());
  const auto bytes = placed_bytes(*first);
  if (bytes > *usable / 2) return fail(Errc::unsupported, "does not fit twice into the device's free memory");
  // A quarter of the free memory each for the operands and for the stream.
  auto meter = std::make_unique<CudaMeter>(context, *traffic, *flops,
                                           rotation(bytes, cuda.info().l2_bytes, *usable / 2, kMostSets));
  if (auto started = meter->start(*first); !started) return fail(std::move(started).error());
  return meter;
}

}  // namespace kernels::bench
