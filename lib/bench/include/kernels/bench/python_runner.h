#pragma once

#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/bench.h"

// Benchmark scripts: `benchmarks/benchmark*.py` of a kernel repository, with the conventions of the Python
// package `kernels`. A script has subclasses of `kernels.benchmark.Benchmark`; each method `benchmark_X` is a
// row. For each row an interpreter of its own makes an instance (with `kernel`, the module of the variant's
// folder, and `device`), seeds, runs `setup_X` or `setup`, calls `benchmark_X` once, compares `self.out` with
// what `verify_X` returns (within 0.01 + 0.00001 * |reference|), and only then measures. The time of
// `verify_X` is the series `reference`.
//
// A row without `verify_X` is `not checked`: it has times, and says that nothing was compared. What the
// kernel must move is not known, so that there are no bytes and no limit.

namespace kernels::bench {

struct ScriptTarget {
  std::filesystem::path repository;  ///< holds `benchmarks/`
  std::filesystem::path variant;     ///< `build/<variant>`
  std::string kernel;                ///< the name under which a script may ask for it too
  std::map<std::string, std::filesystem::path> needs =
      {};  ///< kernels that it needs: their variants' folders
};

/// The scripts of a repository, sorted; none without a folder `benchmarks`. At most a hundred.
std::vector<std::filesystem::path> benchmark_scripts(const std::filesystem::path& repository);

/// Measures every `benchmark_X` of every script, with `options.python`. The kernel is that of the target,
/// nothing comes from a network. A script that cannot be listed is one row named `script`, with the reason.
/// The function of a row is its class, behind the script's name where there are several scripts. Errors
/// not_found: no script; io: no interpreter is given, or kernels-worker cannot be started; no_match: the
///         filters leave nothing; invalid_argument: sizes by hand, which a script does not take. Interrupted
///         by `stop`, what was measured until then is returned: ask `stop`.
/// Threads  blocks; `progress` is called on the calling thread.
Result<BenchReport> bench_scripts(const ScriptTarget& target, const BenchOptions& options,
                                  const ProgressSink& progress, const std::stop_token& stop);

/// What a script has, as the interpreter lists it.
struct ScriptClass {
  std::string name;
  std::vector<std::string> methods;  ///< `benchmark_X`
};

/// Reads a listing; names are those of a stranger's script and may hold anything but 0 bytes.
/// Errors  corrupt: not such a text; more than 1,000 methods; a name that is empty, or longer than 800 bytes.
Result<std::vector<ScriptClass>> parse_listing(std::string_view json);

}  // namespace kernels::bench
