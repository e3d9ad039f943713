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
///   unsure   anything else: more samples are needed to tell
enum class Change : std::uint8_t {
  faster,
  slower,
  same,
  unsure,
  broken,        ///< right before, and not now
  mended,        ///< right now, and not before
  not_measured,  ///< no time on either side
  added,         ///< only in the new run
  removed,       ///< only in the old run
};
std::string_view name_of(Change change);  ///< `FASTER`, `SLOWER`, …

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
  DType dtype = DType::float32;
  Sizes sizes;
  std::string device;  ///< name of the new one; of the old one where the row was removed
  Change change = Change::unsure;
  std::optional<Summary> before;
  std::optional<Summary> after;
  std::optional<Ratio> ratio;  ///< new over old; below 1 is faster
  bool same_bytes = false;     ///< the variant is the same, byte for byte
};

struct Comparison {
  std::vector<ComparedRow> rows;         ///< in the order of the new run, then what was removed
  std::vector<std::string> differences;  ///< why the runs are not alike, where that was allowed
  double threshold = 0;

  std::size_t count(Change change) const;
  /// Rows that became slower, or stopped being right.
  bool has_regression() const;
};

/// What keeps two runs from being compared: other devices, drivers, clocks (the highest that the device
/// allows, or those that were seen: more than 3 % apart), seeds or precision. Empty: nothing.
std::vector<std::string> differences(const Results& before, const Results& after);

/// Rows are the same when kernel, function, workload, data type, sizes and device (kind and name) are.
/// Errors  invalid_argument: the runs are not alike, naming each difference; a row that is there twice on one
///         side for the same device index; a threshold that is not within [0, 1).
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
/// devices of the same name by more than `threshold` over the rows that they share, with three or more of
/// them. Errors  invalid_argument: no run, or the same device at the same start twice.
Result<Fleet> merge(const std::vector<Results>& runs, double threshold);

}  // namespace kernels::bench
