#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/bench/case.h"
#include "kernels/bench/worker.h"

// When to stop, and which samples count. Pure.

namespace kernels::bench {

/// Nothing: go on. With a spent budget and fewer than three samples it goes on for up to three
/// budgets.
std::optional<Stopped> decide(const StoppingRule& rule, const Series& cold, double spent_seconds);

/// Adds a batch: its samples, or how many were dropped for what reason, and its conditions.
void take(Timing& timing, const SampleBatch& batch);

/// How many samples the next batch asks for: `per_turn`, or what is left to the most that the rule allows, at
/// least one.
std::uint32_t next_batch(const StoppingRule& rule, const Series& cold, std::uint32_t per_turn);

/// At the end: on a machine that is never quiet a disturbed time is better than none, when it says that it is
/// one. With fewer than three samples that count, disturbed ones are added until there are the most that the
/// rule allows, and the conditions name the most frequent reason.
void settle(Timing& timing, const std::map<SeriesKind, Series>& disturbed, const StoppingRule& rule);

/// Widens ranges, joins names, keeps the largest counts.
void widen(Conditions& conditions, const Conditions& seen);

/// The state of a device at one moment.
struct Moment {
  std::optional<double> clock_mhz = {};
  std::optional<double> memory_mhz = {};
  std::optional<double> power_w = {};
  std::optional<double> temperature_c = {};
  std::vector<std::string> slowed_by = {};
  std::uint32_t other_processes = 0;
  std::uint64_t memory_errors = 0;
  std::uint64_t preempted = 0;  ///< times that another process took the processor
};
Conditions conditions_of(const Moment& before, const Moment& after);

/// Why samples between two moments do not count: a clock moved by more than 2 %, the reasons for lower clocks
/// are not the same, there is a new memory error, the processor was taken away, a process came or went.
std::string disturbance(const Moment& before, const Moment& after);

}  // namespace kernels::bench
