#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/case.h"
#include "kernels/bench/worker.h"
#include "kernels/bench/workload.h"

namespace kernels::bench {

enum class Mode : std::uint8_t { validate_and_measure, validate_only };

struct BenchOptions {
  runtime::DeviceKind device = runtime::DeviceKind::cpu;
  int device_index = 0;
  std::string workload;                      ///< only workloads whose name contains this; empty: all
  std::string function;                      ///< only this function; empty: all
  std::optional<DType> dtype;                ///< only this data type
  std::optional<HandWorkload> by_hand = {};  ///< in place of the workloads of the file
  Mode mode = Mode::validate_and_measure;
  std::uint64_t seed = 0;  ///< of the random inputs; the same seed gives the same inputs
  StoppingRule rule;
  std::chrono::milliseconds time_limit{60'000};  ///< per step of a case, after which the worker is killed
  std::filesystem::path worker;                  ///< kernels-worker
  std::filesystem::path provider;                ///< libtvm_ffi.so
  std::filesystem::path torch_lib = {};          ///< folder of libtorch, for torch variants; empty: none
  std::filesystem::path python_stub = {};        ///< libkernels_python.so, for the same
  std::filesystem::path python = {};             ///< the interpreter of benchmark scripts; empty: none
};

/// What came of one variant. Every function × data type has a row named `probes` (odd, padded and empty
/// shapes), then one per workload. When the probes are not right, the workloads are not run and share their
/// verdict. `subject` and `device` of the rows are 0.
struct BenchReport {
  std::string library;                 ///< file name
  std::string runner;                  ///< by which ABI it was called
  std::optional<DeviceRecord> device;  ///< none: no case got that far
  std::vector<ResultRow> rows;
};

struct BenchProgress {
  std::size_t done = 0;
  std::size_t total = 0;
  std::string what;  ///< "silu_and_mul bfloat16 llama-3-8b-decode-1: checking rows=1 cols=14336"
};
using ProgressSink = std::function<void(const BenchProgress&)>;

/// Measures one variant folder (`build/<variant>` of a kernel repository): every function of its
/// workloads.toml against the reference in the same library, then the time of what is right. Each case has a
/// process of its own.
/// Errors  not_found: no workloads.toml or no library; corrupt: a bad workloads.toml; no_match: the filters
///         leave nothing; io: the worker cannot be started. Interrupted by `stop`, what was measured until
///         then is returned: ask `stop`.
/// Threads  blocks; `progress` is called on the calling thread.
Result<BenchReport> bench_variant(const std::filesystem::path& variant_dir, const BenchOptions& options,
                                  const ProgressSink& progress, const std::stop_token& stop);

/// Where an installation keeps the worker and the provider, as seen from the running program: beside it in a
/// build tree, ../libexec/kernels and ../lib/kernels when installed. Nothing where a file does not exist.
struct BenchPrograms {
  std::filesystem::path worker;
  std::filesystem::path provider;
  std::filesystem::path python_stub;
};
BenchPrograms find_programs();

}  // namespace kernels::bench
