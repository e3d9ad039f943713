#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>

#include <sched.h>
#include <sys/resource.h>

#include "meter.h"

namespace kernels::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSampleSeconds = 1e-3;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Moment moment() {
  Moment now;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) now.preempted = static_cast<std::uint64_t>(usage.ru_nivcsw);
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(std::max(sched_getcpu(), 0)) +
                     "/cpufreq/scaling_cur_freq");
  double kilohertz = 0;
  if (file >> kilohertz) now.clock_mhz = kilohertz / 1e3;
  return now;
}

/// Keeps this thread on one processor.
bool stay_on(unsigned processor) {
  if (processor >= CPU_SETSIZE) return false;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  return sched_setaffinity(0, sizeof(only), &only) == 0;
}

/// The processor that this thread stays on from now on: the wanted one, else that which it runs on.
std::optional<unsigned> stay(std::optional<unsigned> wanted) {
  if (wanted && stay_on(*wanted)) return wanted;
  const int here = sched_getcpu();
  if (here < 0 || !stay_on(static_cast<unsigned>(here))) return std::nullopt;
  return static_cast<unsigned>(here);
}

/// Memory for the stream that is the limit: one pair of halves for each set, split over threads.
class HostStream {
 public:
  HostStream(const Traffic& traffic, std::uint64_t sets, unsigned threads)
      : read_(std::max<std::uint64_t>(traffic.read, 1)),
        written_(std::max<std::uint64_t>(traffic.written, 1)),
        threads_(threads),
        memory_((read_ + written_) * sets, std::byte{1}) {}

  /// Reads and writes as many bytes as one call, over one of the sets.
  void run(std::uint64_t set) {
    if (threads_ <= 1) return part(set, 0);
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads_; ++i)
      others.emplace_back([this, set, i] { part(set, i); });
    part(set, 0);
  }

 private:
  /// What is written is copied from what is read; what is read besides is summed.
  void part(std::uint64_t set, unsigned index) {
    const std::byte* from = memory_.data() + set * (read_ + written_);
    std::byte* to = memory_.data() + set * (read_ + written_) + read_;
    const auto [read_begin, read_end] = share(read_, index);
    const auto [begin, end] = share(written_, index);
    const auto copied = std::min(end - begin, read_end - read_begin);
    std::memcpy(to + begin, from + read_begin, copied);
    if (end - begin > copied) std::memset(to + begin + copied, 1, end - begin - copied);
    std::uint64_t sum = 0;
    for (auto at = read_begin + copied; at + sizeof(std::uint64_t) <= read_end; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, from + at, sizeof(word));
      sum += word;
    }
    sink_ = sum;
  }

  std::pair<std::uint64_t, std::uint64_t> share(std::uint64_t bytes, unsigned index) const {
    return {bytes * index / threads_, bytes * (index + 1) / threads_};
  }

  std::uint64_t read_;
  std::uint64_t written_;
  unsigned threads_;
  std::vector<std::byte> memory_;
  inline static thread_local volatile std::uint64_t sink_ = 0;
};

class CpuMeter final : public Meter {
 public:
  CpuMeter(const CheckContext& context, Traffic traffic, std::uint64_t flops, Rotation plan,
           const CpuCounters* counters, std::optional<unsigned> processor)
      : context_(context),
        traffic_(traffic),
        flops_(flops),
        rotation_(plan),
        counters_(counters),
        wanted_processor_(processor) {}

  Status start(const std::vector<Operand>& first) {
    if (auto made = make_sets(first); !made) return made;
    if (auto made = make_reference(); !made) return made;
    if (auto warm = call(0); !warm) return warm;
    const auto begin = Clock::now();
    if (auto once = call(next()); !once) return once;
    const double wall = std::max(seconds_since(begin), 1e-9);
    calls_ = static_cast<std::uint64_t>(std::max(std::ceil(kSampleSeconds / wall), 1.0));
    if (auto counted = count_threads(); !counted) return counted;
    if (threads_ == 1) processor_ = stay(wanted_processor_);
    stream_ = std::make_unique<HostStream>(traffic_, rotation_.sets, threads_);
    if (threads_ > 1) prefer_one_thread();
    return {};
  }

  Timing plan() const override {
    Timing timing;
    timing.series[SeriesKind::cold];
    timing.series[SeriesKind::limit];
    timing.series[SeriesKind::single];
    if (fits()) timing.series[SeriesKind::warm];
    if (has_reference()) timing.series[SeriesKind::reference];
    timing.bytes = traffic_.bytes();
    timing.flops = flops_;
    timing.method = std::string(rotation_.is_cold ? "cold" : "warm") + ": " + std::to_string(rotation_.sets) +
                    " buffer sets in turn, " + std::to_string(cpu_cache_bytes() >> 20) + " MiB cache; " +
                    std::to_string(calls_) + " calls per sample, " + threads_text(threads_) +
                    ", monotonic clock";
    timing.limit_method = "memcpy of the same bytes, same rotation, " + threads_text(limit_threads_);
    return timing;
  }

  std::optional<unsigned> processor() const override { return processor_; }

  Result<SampleBatch> sample(std::uint32_t count) override {
    SampleBatch batch;
    const auto before = moment();
    for (std::uint32_t i = 0; i < count; ++i)
      if (auto taken = sample_each(batch); !taken) return fail(std::move(taken).error());
    const auto after = moment();
    batch.conditions = conditions_of(before, after);
    batch.conditions.cycles = cycles_;
    batch.conditions.instructions = instructions_;
    batch.disturbed = disturbance(before, after);
    return batch;
  }

 private:
  /// What the function is held against: its baseline, else its reference.
  const std::string& reference_name() const {
    const auto& function = *context_.function;
    return function.baseline.empty() ? function.reference : function.baseline;
  }
  /// A reference is written to be right, not fast: where one call takes long it is not worth the time.
  bool has_reference() const { return reference_seconds_ < kLongestReference; }

  /// Also finds out how long a call takes. It may refuse these operands: a reference needs only take float64.
  Status make_reference() {
    auto bound = context_.library->bind(reference_name(), values_of(sets_.front()));
    if (!bound) return fail(std::move(bound).error());
    if (!(**bound)()) return {};
    const auto begin = Clock::now();
    if (!(**bound)()) return {};
    reference_seconds_ = seconds_since(begin);
    for (const auto& set : sets_) {
      auto one = context_.library->bind(reference_name(), values_of(set));
      if (!one) return fail(std::move(one).error());
      references_.push_back(std::move(*one));
    }
    return {};
  }

  bool fits() const { return 2 * traffic_.bytes() <= cpu_cache_bytes(); }
  std::string threads_text(unsigned threads) const {
    if (threads == 1) return processor_ ? "one thread, pinned" : "one thread";
    return std::to_string(threads) + " threads";
  }

  /// Calls that keep several processors busy have several threads; the limit gets as many.
  Status count_threads() {
    const auto most = std::max(std::thread::hardware_concurrency(), 1U);
    const auto busy = processor_seconds();
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < calls_; ++i)
      if (auto done = call(next()); !done) return done;
    const double share = (processor_seconds() - busy) / std::max(seconds_since(begin), 1e-9);
    threads_ = std::clamp(static_cast<unsigned>(std::lround(share)), 1U, most);
    return {};
  }

  /// Starting threads takes longer than a small stream does: then one thread is the faster limit.
  void prefer_one_thread() {
    auto alone = std::make_unique<HostStream>(traffic_, rotation_.sets, 1);
    const auto time = [this](HostStream& stream) {
      const auto begin = Clock::now();
      for (std::uint64_t i = 0; i < calls_; ++i)
        stream.run(next());
      return seconds_since(begin);
    };
    (void)time(*stream_);  // touches the memory for the first time
    (void)time(*alone);
    if (time(*alone) < time(*stream_)) {
      stream_ = std::move(alone);
      limit_threads_ = 1;
    } else {
      limit_threads_ = threads_;
    }
  }

  Status make_sets(const std::vector<Operand>& first) {
    for (std::uint64_t i = 0; i < rotation_.sets; ++i) {
      std::vector<Operand> set;
      for (const Operand& operand : first) {
        Operand copy;
        copy.spec = operand.spec;
        copy.dtype = operand.dtype;
        copy.layout = operand.layout;
        copy.before = operand.before;
        set.push_back(std::move(copy));
      }
      if (auto placed = place(set, context_.options); !placed) return placed;
      for (Operand& operand : set)
        operand.before = {};
      auto bound = context_.library->bind(context_.function->name, values_of(set));
      if (!bound) return fail(std::move(bound).error());
      bound_.push_back(std::move(*bound));
      sets_.push_back(std::move(set));
    }
    return {};
  }

  std::uint64_t next() {
    next_ = (next_ + 1) % rotation_.sets;
    return next_;
  }
  Status call(std::uint64_t set) const { return refused((*bound_[set])()); }

  /// Nanoseconds per call of `calls` calls of something.
  template <class Call>
  static Result<double> per_call(std::uint64_t calls, Call call) {
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < calls; ++i)
      if (auto done = call(); !done) return fail(std::move(done).error());
    return seconds_since(begin) * 1e9 / static_cast<double>(calls);
  }

  Status sample_each(SampleBatch& batch) {
    auto keep = [&](SeriesKind kind, Result<double> sample) -> Status {
      if (!sample) return fail(std::move(sample).error());
      batch.samples[kind].push_back(*sample);
      return {};
    };
    const auto counted = counters_ == nullptr ? std::nullopt : counters_->read();
    if (auto done = keep(SeriesKind::cold, per_call(calls_, [&] { return call(next()); })); !done)
      return done;
    if (counted) count(*counted);
    auto stream = [&]() -> Status {
      stream_->run(next());
      return {};
    };
    if (auto done = keep(SeriesKind::limit, per_call(calls_, stream)); !done) return done;
    if (has_reference()) {
      const auto calls = std::max<std::uint64_t>(
          static_cast<std::uint64_t>(kSampleSeconds / std::max(reference_seconds_, 1e-9)), 1);
      auto reference = [&] { return refused((*references_[next()])()); };
      if (auto done = keep(SeriesKind::reference, per_call(calls, reference)); !done) return done;
    }
    if (auto done = keep(SeriesKind::single, per_call(1, [&] { return call(next()); })); !done) return done;
    if (!fits()) return {};
    if (auto warmed = call(0); !warmed) return warmed;
    return keep(SeriesKind::warm, per_call(calls_, [&] { return call(0); }));
  }

  /// What the calls since then took, each.
  void count(const CpuCounters::Counts& before) {
    const auto now = counters_->read();
    if (!now) return;
    const auto each = static_cast<double>(calls_);
    widen(cycles_, (now->cycles - before.cycles) / each);
    widen(instructions_, (now->instructions - before.instructions) / each);
  }
  static void widen(std::optional<Range>& range, double value) {
    if (!range) range = Range{.low = value, .high = value};
    range->low = std::min(range->low, value);
    range->high = std::max(range->high, value);
  }

  static constexpr double kLongestReference = 0.02;

  CheckContext context_;
  Traffic traffic_;
  std::uint64_t flops_;
  Rotation rotation_;
  const CpuCounters* counters_;
  std::optional<Range> cycles_;
  std::optional<Range> instructions_;
  std::vector<std::unique_ptr<runtime::BoundCall>> references_;
  double reference_seconds_ = HUGE_VAL;
  std::vector<std::vector<Operand>> sets_;
  std::vector<std::unique_ptr<runtime::BoundCall>> bound_;  // over the operands of `sets_`
  std::unique_ptr<HostStream> stream_;
  std::uint64_t next_ = 0;
  std::uint64_t calls_ = 1;
  unsigned threads_ = 1;
  unsigned limit_threads_ = 1;
  std::optional<unsigned> wanted_processor_;
  std::optional<unsigned> processor_;
};

}  // namespace

Result<std::unique_ptr<Meter>> make_cpu_meter(const CheckContext& context, const Sizes& sizes, Random& random,
                                              const CpuCounters* counters,
                                              std::optional<unsigned> processor) {
  constexpr std::uint64_t kMostSets = 4096;
  auto first = make_images(*context.function, sizes, random, context.options);
  if (!first) return fail(std::move(first).error());
  auto traffic = traffic_of(*context.function, sizes, context.options.dtype);
  if (!traffic) return fail(std::move(traffic).error());
  auto flops = flops_of(*context.function, sizes);
  if (!flops) return fail(std::move(flops).error());
  auto usable = usable_bytes(nullptr);
  if (!usable) return fail(std::move(usable).error());
  // A quarter of the free memory each for the operands and for the stream.
  auto meter = std::make_unique<CpuMeter>(
      context, *traffic, *flops, rotation(set_bytes(*first), cpu_cache_bytes(), *usable / 2, kMostSets),
      counters, processor);
  if (auto started = meter->start(*first); !started) return fail(std::move(started).error());
  return meter;
}

}  // namespace kernels::bench
