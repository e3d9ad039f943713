#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/bench/statistics.h"
#include "kernels/bench/workload.h"

// What is known of one function on one device at one shape after a worker has run it: how it ended, what it
// launched, how far from the reference it was, and how long it took beside its limits.

namespace kernels::bench {

/// How a case ended. Only `right` and `unchecked` have times: a wrong kernel has no time.
enum class Verdict : std::uint8_t {
  right,
  unchecked,      ///< it ran, and there is nothing to compare its result with
  wrong,          ///< outside the tolerance, output left untouched, or written where it must not
  raised,         ///< the kernel refused the call, or its launch failed
  misbehaved,     ///< right, but not on the stream that it was given, or allocating or waiting inside
  crashed,        ///< a signal, an exit in the middle, an illegal address
  timed_out,      ///< killed at the time limit
  out_of_memory,  ///< the machine or the device has no room for the case
  failed,         ///< the case could not be set up: library, device, signature
};
std::string_view name_of(Verdict verdict);
std::optional<Verdict> verdict_from_name(std::string_view name);
/// Whether nothing is known to be wrong: `right`, or `unchecked`.
constexpr bool may_have_time(Verdict verdict) {
  return verdict == Verdict::right || verdict == Verdict::unchecked;
}

/// One kernel launch of a call, as the driver recorded it.
struct Launch {
  std::string name;  ///< as in the binary: mangled
  std::array<std::uint32_t, 3> grid = {};
  std::array<std::uint32_t, 3> block = {};
  std::uint32_t shared_bytes = 0;   ///< per block, static and dynamic
  std::int32_t registers = 0;       ///< per thread
  std::int32_t local_bytes = 0;     ///< per thread: spills and arrays that are not in registers
  std::int32_t binary_version = 0;  ///< 90: code for compute capability 9.0
  std::int32_t ptx_version = 0;
  bool operator==(const Launch&) const = default;
};

/// How a call behaves towards the device, found out by recording it. All empty on the CPU.
struct Probe {
  std::vector<Launch> launches;
  std::uint32_t copies = 0;         ///< memory copies and fills of a call
  bool is_recordable = false;       ///< a CUDA graph can hold it; else it waits or allocates inside
  std::vector<std::string> faults;  ///< `ignores the stream`, `allocates inside`, `waits inside`: in words
  bool operator==(const Probe&) const = default;
};

/// Comparison with the reference.
struct Numerics {
  double max_error = 0;       ///< largest |got - reference|; infinite for NaN
  double worst_share = 0;     ///< largest error as a share of what the tolerance allows; right means <= 1
  std::uint64_t checked = 0;  ///< elements compared
  bool operator==(const Numerics&) const = default;
};

/// What a series of samples is of. Times are nanoseconds per call.
enum class SeriesKind : std::uint8_t {
  cold,    ///< inputs and outputs not in the last-level cache; on CUDA inside a graph of many calls
  warm,    ///< the same buffers again and again; absent where they do not fit into the cache
  single,  ///< one call alone after a flush of the cache, with the gaps of its launch: a lone call's latency
  limit,   ///< the fastest plain stream of the same traffic, in the same state as `cold`
  warm_limit,  ///< the same in the state of `warm`
  floor,       ///< an empty kernel per call, in a graph; absent on the CPU
  reference,   ///< the function's baseline, or on the processor its reference, as `cold`
};
std::string_view name_of(SeriesKind kind);
std::optional<SeriesKind> series_kind_from_name(std::string_view name);

/// Why sampling ended.
enum class Stopped : std::uint8_t {
  precision,  ///< the interval of the median is as narrow as was asked
  budget,     ///< the time is spent
  samples,    ///< there are as many as are kept
};
std::string_view name_of(Stopped stopped);
std::optional<Stopped> stopped_from_name(std::string_view name);

/// Samples of one kind, in the order in which they were taken. Disturbed ones are not among them.
struct Series {
  std::vector<double> samples;
  Summary summary() const { return summarize(samples); }
  bool operator==(const Series&) const = default;
};

/// The device while it was measured: the lowest and highest value that was seen. Absent: the machine does not
/// tell.
struct Range {
  double low = 0;
  double high = 0;
  bool operator==(const Range&) const = default;
};
struct Conditions {
  std::optional<Range> clock_mhz = {};  ///< of the multiprocessors, or of the processor
  std::optional<Range> memory_mhz = {};
  std::optional<Range> power_w = {};
  std::optional<Range> temperature_c = {};
  /// Of one call of `cold` on the processor, in user mode, all threads together.
  std::optional<Range> cycles = {};
  std::optional<Range> instructions = {};
  std::vector<std::string> slowed_by = {};  ///< `power limit`, `temperature`, …: reasons for lower clocks
  std::uint32_t other_processes = 0;        ///< the most that used the device beside ours
  std::uint64_t memory_errors = 0;          ///< ECC errors that could not be corrected, since the start
  std::map<std::string, std::uint64_t> dropped = {};  ///< disturbed samples by reason
  bool operator==(const Conditions&) const = default;
};

/// How fast. Rates are of the compulsory traffic: each tensor read or written once.
struct Timing {
  std::map<SeriesKind, Series> series;  ///< always has `cold`
  std::uint64_t bytes = 0;              ///< compulsory traffic of one call; 0: not known
  std::uint64_t flops = 0;              ///< of one call as the workload declares them; 0: not declared
  Stopped stopped = Stopped::budget;
  std::string method;        ///< in words: buffers in turn, calls per sample, clock
  std::string limit_method;  ///< which stream kernel was the fastest; empty: there is no limit
  Conditions conditions;

  const Series* find(SeriesKind kind) const;
  /// 1 GB = 10^9 bytes; at the median of `cold`.
  double gb_per_s() const;
  double tflop_per_s() const;
  bool operator==(const Timing&) const = default;
};

/// `above` over `below`, medians, with an interval that holds the true ratio with at least 95 % confidence
/// when both intervals of the medians do: from the lowest over the highest to the highest over the lowest.
/// Over nothing it is infinite.
struct Ratio {
  double value = 0;
  double low = 0;
  double high = 0;
  bool operator==(const Ratio&) const = default;
};
Ratio ratio_of(const Summary& above, const Summary& below);

/// Everything about one case.
struct CaseResult {
  Verdict verdict = Verdict::failed;
  std::string reason;  ///< empty when right; why it is unchecked
  Probe probe;
  Numerics numerics;
  std::optional<Timing> timing;

  /// Time of the limit over that of the kernel, cold: 1 is as fast as a plain stream. None without both.
  std::optional<Ratio> share_of_limit() const;
  /// Time of the reference over that of the kernel, cold: 2 is twice as fast. None without both.
  std::optional<Ratio> speedup() const;
  bool operator==(const CaseResult&) const = default;
};

}  // namespace kernels::bench
