#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/measurement.h"

// The schema `kernels.bench/1`: what a run of `kernels bench` has measured, with every sample, on which
// machine and of which bytes. It is written by `--json` and `--save` and read by `--compare`, `--merge` and
// `--report`. A file may come from anywhere: it is read as hostile.

namespace kernels::bench {

/// What was found out about the machine, and where.
struct MachineFact {
  std::string name;
  std::string value;
  std::string source;
  bool operator==(const MachineFact&) const = default;
};

/// A device that was measured.
struct DeviceRecord {
  std::string kind;  ///< `cuda` or `cpu`
  std::uint32_t index = 0;
  std::string name;
  std::string uuid = {};              ///< empty on the CPU
  std::string driver = {};            ///< "580.159.04"; empty on the CPU
  std::string capability = {};        ///< "9.0"; empty on the CPU
  std::uint32_t multiprocessors = 0;  ///< cores on the CPU
  std::uint64_t memory_bytes = 0;
  std::uint64_t cache_bytes = 0;  ///< of the last level
  std::optional<bool> ecc = {};
  std::uint32_t max_clock_mhz = 0;  ///< 0: not told
  std::uint32_t max_memory_mhz = 0;
  double power_limit_w = 0;  ///< 0: not told
  bool operator==(const DeviceRecord&) const = default;
};

/// What was measured: the bytes, not only their name.
struct Subject {
  std::string kernel;  ///< repository, or the folder that was given
  std::string commit;  ///< empty for a folder
  std::string variant;
  std::string variant_sha256;  ///< over paths and contents of the variant, as in the lock; hex
  std::string library;         ///< file name
  std::string runner;          ///< `tvm-ffi`, `torch`, `python`
  std::string layer;           ///< the project's layer that it serves; empty: none
  bool operator==(const Subject&) const = default;
};

/// One function at one shape on one device.
struct ResultRow {
  std::uint32_t device = 0;   ///< index into `devices`
  std::uint32_t subject = 0;  ///< index into `subjects`
  std::string function;
  std::string workload;  ///< `probes`: odd, padded and empty shapes that are only checked
  std::optional<DType> dtype = DType::float32;  ///< none: the output of a script has another type, or none
  Sizes sizes;                                  ///< empty for `probes` and scripts
  Tolerance tolerance;
  CaseResult result;
  bool operator==(const ResultRow&) const = default;
};

/// How the samples were taken.
struct RunSettings {
  std::uint64_t seed = 0;
  double precision = 0;       ///< width of the interval of the median that ends sampling, as a share
  double budget_seconds = 0;  ///< of sampling per row
  bool operator==(const RunSettings&) const = default;
};

struct Results {
  std::string program;  ///< `kernels 0.1.0`
  std::string started;  ///< 2026-11-22T17:12:54Z
  std::string host;
  std::string job;  ///< `slurm 4711_3 node rack1-07`; empty: none
  RunSettings settings;
  std::vector<MachineFact> machine;
  std::vector<DeviceRecord> devices;
  std::vector<Subject> subjects;
  std::vector<ResultRow> rows;

  /// Whether nothing is known to be wrong in any row: each is right or unchecked; also of no rows.
  bool all_right() const;
  bool operator==(const Results&) const = default;
};

/// JSON, two blanks deep, lists of numbers on one line, with a line feed at its end. Beside what
/// `parse_results` reads it holds summaries for people and scripts. Same value, same bytes.
std::string encode_results(const Results& results);

/// Reads what `encode_results` writes; members that it does not know are left alone, summaries are computed
/// anew from the samples. `what` names the text in errors. Samples that are infinite, negative or of more
/// than 31 years are written too, but not read again. Errors  unsupported: another schema, and which;
/// corrupt, naming the member: not such a file; a number that
///         is negative (but for a temperature), infinite or too large; a range upside down; an index of
///         nothing; a timing of what is not right; more than 64 MiB, 100,000 rows, devices or subjects, or
///         100,000 samples in a series.
/// Cost    memory of up to ten times the text.
Result<Results> parse_results(std::string_view json, const std::string& what);

}  // namespace kernels::bench
