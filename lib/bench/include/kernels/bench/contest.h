#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/bench.h"
#include "kernels/model/native_layers.h"

// Several functions that do the same, measured together: kernels for one layer, or two versions of a kernel.

namespace kernels::bench {

/// What can be measured in a variant's folder. Errors  not_found: no workloads.toml or no library; corrupt.
struct Measurable {
  std::filesystem::path library;
  WorkloadFile file;
  const FunctionSpec* find(std::string_view function) const;  ///< null: there is none
};
Result<Measurable> open_measurable(const std::filesystem::path& variant_dir);

/// A function among those that are measured together.
struct Contender {
  std::string name;  ///< for the progress
  std::filesystem::path library;
  FunctionSpec function;
  std::vector<Sizes> probes;
  std::vector<Workload> workloads;  ///< at which it is measured, with the sizes as it names them
};

/// Checks and measures all contenders. Each case has a process of its own; those of one workload (by name)
/// and data type are set up together and sampled in turns, on inputs of the same seed. What has only one
/// contender is measured alone. The reports are those of the contenders, in their order, with rows as
/// `bench_variant` makes them. `workload` and `by_hand` of the options are not looked at. Errors  and
/// interruption as `bench_variant`.
Result<std::vector<BenchReport>> bench_contest(std::span<const Contender> contenders,
                                               const BenchOptions& options, const ProgressSink& progress,
                                               const std::stop_token& stop);

/// A function and how it serves as a layer.
struct ServingFunction {
  std::string name;  ///< of its kernel
  const NativeLayer* layer = nullptr;
  const FunctionSpec* function = nullptr;
};

/// Why one function cannot be measured beside another in the place of a layer: `forward` of both layers takes
/// and returns tensors of the same shapes at the sizes of each of the workloads (in the order of the same
/// names). Empty: it can.
std::string mismatch(const ServingFunction& one, const std::vector<Workload>& sizes_of_one,
                     const ServingFunction& other, const std::vector<Workload>& sizes_of_other);

/// How a contender did over all rows of a contest.
struct Standing {
  bool is_right = false;     ///< every row, and a time for everything that any contender was measured on
  std::string flaw;          ///< why it is not
  bool is_at_fault = false;  ///< what it lacks is its own doing: wrong, refusing, misbehaving or crashing
  double mean_ns = 0;        ///< geometric mean of the medians of `cold`, if right
  std::size_t times = 0;
};

/// Rows of a contest, by contender; `device` tells devices apart.
using ContestRows = std::vector<std::vector<const ResultRow*>>;

std::vector<Standing> standings(const ContestRows& rows);

/// Time of one contender over that of another, both right: geometric mean over the rows of the ratios of
/// medians, and of the ends of their intervals.
Ratio ratio_between(const std::vector<const ResultRow*>& above, const std::vector<const ResultRow*>& below);

/// Who should be in the place of the contender that is there now.
struct Choice {
  std::optional<std::size_t> winner;  ///< none: what is there stays
  std::string reason;                 ///< in words
  std::optional<std::size_t> best;    ///< the fastest of those that are right and may be chosen
  std::optional<std::size_t> next;    ///< the fastest of the others that are right
};

/// The winner is the contender that is right everywhere with the lowest geometric mean. It takes the place of
/// the present one only where the whole interval of its ratio to that is below 1 - `threshold`, or where the
/// present one is at fault. `present`: none, if it could not be measured. `may_win`: by contender. Pure.
Choice choose(const ContestRows& rows, std::optional<std::size_t> present, const std::vector<bool>& may_win,
              double threshold);

}  // namespace kernels::bench
