#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/results.h"

// Two runs, row by row. Everything here is a pure function of the two.

namespace kernels::bench {

/// Of a row in the new run beside the same row in the old one. With t the threshold and the ratio new over
/// old of the medians of `cold`:
///   faster   the whole interval of the ratio is below 1 - t
///   slower   the whole interval is above 1 + t
///   same     the whole interval is within [1 - t, 1 + t]
///   unsure   anything else: more samples are needed to tell; also where a side has fewer than six samples,
///            whose range need not hold the median with 95 % confidence, or a time of zero
enum class Change : std::uint8_t {
  faster,
  slower,
  same,
  unsure,
  broken,        ///< right before, and not now
  mended,        ///< right now, and not before
  not_measured,  ///< not a time on both sides: a probe, or right on neither side
  added,         ///< only in the new run
  removed,       ///< only in the old run
};
std::string_view name_of(Change change);  ///< `FASTER`, `SLOWER`, …

/// The rule for two times: faster, slower, same or unsure. A median that did not change is called faster or
/// slower once in a hundred times or less at any threshold: two intervals of 95 % would have to miss each
/// other.
constexpr std::size_t kFewestSamples = 6;
Change change_of(const Summary& before, const Summary& after, double threshold);

struct CompareRules {
  /// 0.01 is 1 %: what two runs of the same bytes may differ by without meaning anything.
  double threshold = 0.01;
  /// Compare although devices, drivers, clocks or inputs are not the same.
  bool despite_differences = false;
};

struct ComparedRow {
  std::string kernel;
  std::string function;
  std::string workload;
  std::optional<DType> dtype = DType::float32;
  Sizes sizes;
  std::string device;  ///< name of the new one; of the old one where the row was removed
  Change change = Change::unsure;
  std::optional<Summary> before;
  std::optional<Summary> after;
  std::optional<Ratio> ratio;  ///< new over old; below 1 is faster
  bool same_bytes = false;     ///< the variant is the same, byte for byte
  std::string reason;          ///< where it is broken: how it ended now and why; else empty
};

struct Comparison {
  /// In the order of the new run, then what was removed. Probes are among them only where they broke or
  /// mended.
  std::vector<ComparedRow> rows;
  std::vector<std::string> differences;  ///< why the runs are not alike, where that was allowed
  double threshold = 0;

  std::size_t count(Change change) const;
  /// Rows that became slower, or stopped being right.
  bool has_regression() const;
};

/// What keeps two runs from being compared: other devices (name, multiprocessors, ECC, power limit), drivers,
/// clocks (the highest that the device allows, and on GPUs the highest that was seen: more than 3 % apart),
/// seeds or precision. What one of the runs does not tell is no difference. Empty: nothing.
std::vector<std::string> differences(const Results& before, const Results& after);

/// Rows are the same when kernel, function, workload, data type, sizes and device are. Devices are the same
/// when kind and name are; of several, those with the same UUID, else index, else in order. Despite
/// differences devices of one kind are compared under different names too, in order. Where a run has several
/// rows of that, such as a kernel in two layers, their layer, runner and variant must be the same too.
/// Errors  invalid_argument: the runs are not alike, naming each difference; a row that is there twice on one
///         side for the same device index; a threshold that is not within [0, 1).
/// Cost    sorts every series of `cold`.
Result<Comparison> compare(const Results& before, const Results& after, const CompareRules& rules);

/// A device that is slower than its fleet.
struct Outlier {
  std::string host;
  std::string job;
  std::string device;  ///< name
  std::string uuid;
  Ratio ratio;  ///< geometric mean over the rows of its time over the fleet's median of that row; its range
  std::size_t rows = 0;
};

struct Fleet {
  Results merged;                    ///< all rows; `host`, `job` and `started` are those of the first
  std::vector<std::string> sources;  ///< per device of `merged`: host and job
  std::vector<Outlier> outliers;     ///< the slowest first
};

/// Puts the runs of many machines together and finds the devices that are slower than the median of all
/// devices of the same name by more than `threshold` over the rows that they share: the same bytes on the
/// same inputs, timed on three or more devices of that name. Program, settings and machine are those of the
/// first run too; a subject that several runs have is there once. Errors  invalid_argument: no run, the same
/// device at the same start twice, or a threshold that is not
///         within [0, 1).
Result<Fleet> merge(const std::vector<Results>& runs, double threshold);

}  // namespace kernels::bench
