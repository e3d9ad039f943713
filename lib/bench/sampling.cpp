#include "sampling.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace kernels::bench {

namespace {

constexpr std::size_t kFewestSamples = 3;

void widen(std::optional<Range>& range, const std::optional<Range>& seen) {
  if (!seen) return;
  if (!range) range = seen;
  range->low = std::min(range->low, seen->low);
  range->high = std::max(range->high, seen->high);
}

std::optional<Range> range_of(const std::optional<double>& a, const std::optional<double>& b) {
  if (!a || !b) return std::nullopt;
  return Range{.low = std::min(*a, *b), .high = std::max(*a, *b)};
}

/// To a picosecond: more digits than any clock has would only make files long.
void append(Series& series, const std::vector<double>& samples) {
  for (double sample : samples)
    series.samples.push_back(std::round(sample * 1e3) / 1e3);
}

bool moved(const std::optional<double>& before, const std::optional<double>& after) {
  constexpr double kTolerated = 0.02;
  return before && after && *before > 0 && std::fabs(*after / *before - 1) > kTolerated;
}

}  // namespace

std::optional<Stopped> decide(const StoppingRule& rule, const Series& cold, double spent_seconds) {
  constexpr double kPatience = 3;
  const auto count = cold.samples.size();
  if (count >= rule.most) return Stopped::samples;
  if (count >= rule.least) {
    const auto summary = cold.summary();
    if (summary.median > 0 && (summary.median_high - summary.median_low) <= rule.precision * summary.median)
      return Stopped::precision;
  }
  if (spent_seconds < rule.budget_seconds) return std::nullopt;
  if (count < kFewestSamples && spent_seconds < kPatience * rule.budget_seconds) return std::nullopt;
  return Stopped::budget;
}

void take(Timing& timing, const SampleBatch& batch) {
  widen(timing.conditions, batch.conditions);
  if (!batch.disturbed.empty()) {
    auto cold = batch.samples.find(SeriesKind::cold);
    if (cold != batch.samples.end()) timing.conditions.dropped[batch.disturbed] += cold->second.size();
    return;
  }
  for (const auto& [kind, samples] : batch.samples)
    append(timing.series[kind], samples);
}

std::uint32_t next_batch(const StoppingRule& rule, const Series& cold, std::uint32_t per_turn) {
  const auto count = cold.samples.size();
  const auto left = count < rule.most ? rule.most - count : 0;
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(left, 1, per_turn));
}

void settle(Timing& timing, const std::map<SeriesKind, Series>& disturbed, const StoppingRule& rule) {
  auto& dropped = timing.conditions.dropped;
  if (timing.series[SeriesKind::cold].samples.size() >= kFewestSamples || dropped.empty()) return;
  const auto most = std::ranges::max_element(dropped, {}, [](const auto& reason) { return reason.second; });
  timing.conditions.slowed_by.push_back("something in nearly every sample: " + most->first);
  dropped.clear();
  for (const auto& [kind, series] : disturbed) {
    auto& kept = timing.series[kind];
    append(kept, series.samples);
    if (kept.samples.size() > rule.most) kept.samples.resize(rule.most);
  }
}

void widen(Conditions& conditions, const Conditions& seen) {
  widen(conditions.clock_mhz, seen.clock_mhz);
  widen(conditions.memory_mhz, seen.memory_mhz);
  widen(conditions.power_w, seen.power_w);
  widen(conditions.temperature_c, seen.temperature_c);
  widen(conditions.cycles, seen.cycles);
  widen(conditions.instructions, seen.instructions);
  for (const auto& reason : seen.slowed_by)
    if (std::ranges::find(conditions.slowed_by, reason) == conditions.slowed_by.end())
      conditions.slowed_by.push_back(reason);
  conditions.other_processes = std::max(conditions.other_processes, seen.other_processes);
  conditions.memory_errors = std::max(conditions.memory_errors, seen.memory_errors);
}

Conditions conditions_of(const Moment& before, const Moment& after) {
  Conditions out{.clock_mhz = range_of(before.clock_mhz, after.clock_mhz),
                 .memory_mhz = range_of(before.memory_mhz, after.memory_mhz),
                 .power_w = range_of(before.power_w, after.power_w),
                 .temperature_c = range_of(before.temperature_c, after.temperature_c),
                 .slowed_by = before.slowed_by,
                 .other_processes = std::max(before.other_processes, after.other_processes),
                 .memory_errors = std::max(before.memory_errors, after.memory_errors)};
  for (const auto& reason : after.slowed_by)
    if (std::ranges::find(out.slowed_by, reason) == out.slowed_by.end()) out.slowed_by.push_back(reason);
  return out;
}

std::string disturbance(const Moment& before, const Moment& after) {
  if (after.memory_errors > before.memory_errors) return "memory error";
  if (before.slowed_by != after.slowed_by) return "clocks limited";
  if (moved(before.clock_mhz, after.clock_mhz)) return "clock moved";
  if (moved(before.memory_mhz, after.memory_mhz)) return "memory clock moved";
  if (before.other_processes != after.other_processes) return "other process";
  if (after.preempted > before.preempted) return "preempted";
  return {};
}

namespace {

/// On a device that is asked for its health before and after; a processor tells of each sample by itself.
constexpr std::uint32_t kDeviceSamplesPerTurn = 8;

void keep_disturbed(Candidate& candidate, const SampleBatch& batch, const StoppingRule& rule) {
  for (const auto& [kind, samples] : batch.samples)
    if (auto& kept = candidate.disturbed[kind]; kept.samples.size() < rule.most) append(kept, samples);
}

/// One turn. The candidate's session ends when it is measured, or has failed.
Status take_turn(Candidate& candidate, const StoppingRule& rule, const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  bool is_cpu = candidate.answer.device.kind == "cpu";
  const auto count =
      next_batch(rule, candidate.answer.plan->series[SeriesKind::cold], is_cpu ? 1 : kDeviceSamplesPerTurn);
  auto batch = candidate.session->sample(count, stop);
  if (!batch) return fail(std::move(batch).error());
  candidate.spent_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  auto& result = candidate.answer.result;
  auto& timing = *candidate.answer.plan;
  if (!*batch) {
    // What was known before its end is kept: what it launched, how right it was.
    result.verdict = batch->error().verdict;
    result.reason = batch->error().reason;
    candidate.session.reset();
    return {};
  }
  if (!(*batch)->disturbed.empty()) keep_disturbed(candidate, **batch, rule);
  take(timing, **batch);
  auto stopped = decide(rule, timing.series[SeriesKind::cold], candidate.spent_seconds);
  if (!stopped) return {};
  candidate.session.reset();
  timing.stopped = *stopped;
  settle(timing, candidate.disturbed, rule);
  result.timing = std::move(timing);
  return {};
}

}  // namespace

Status sample_in_turns(std::span<Candidate> candidates, const StoppingRule& rule, const StepSink& on_step,
                       const std::stop_token& stop) {
  for (auto& candidate : candidates)
    if (!candidate.answer.plan) candidate.session.reset();
  bool any = true;
  for (std::size_t turn = 0; any; ++turn) {
    any = false;
    for (auto& candidate : candidates) {
      if (!candidate.session) continue;
      any = true;
      if (on_step) on_step({"measuring, turn " + std::to_string(turn + 1)});
      if (auto done = take_turn(candidate, rule, stop); !done) return done;
    }
  }
  return {};
}

Result<CaseAnswer> run_in_worker(const CaseRequest& request, const WorkerOptions& options,
                                 const StoppingRule& rule, const StepSink& on_step,
                                 const std::stop_token& stop) {
  auto session = WorkerSession::start(request, options);
  if (!session) return fail(std::move(session).error().while_doing("running a case"));
  auto answer = session->prepare(on_step, stop);
  if (!answer) return answer;
  Candidate candidate{
      .answer = std::move(*answer), .session = std::move(*session), .spent_seconds = 0, .disturbed = {}};
  if (auto done = sample_in_turns({&candidate, 1}, rule, on_step, stop); !done)
    return fail(std::move(done).error());
  return std::move(candidate.answer);
}

}  // namespace kernels::bench
