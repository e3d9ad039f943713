#include "kernels/bench/bench.h"

#include <algorithm>
#include <system_error>

#include "kernels/base/file.h"
#include "kernels/bench/worker.h"
#include "kernels/runtime/runner.h"

#include "bench_impl.h"

namespace kernels::bench {
namespace {

namespace fs = std::filesystem;

/// One function with one data type, and the workloads to time it on.
struct Job {
  const FunctionSpec* function;
  DType dtype;
  Tolerance tolerance;
  std::vector<const Workload*> workloads;
};

bool wanted(const Workload& workload, const FunctionSpec& function, DType dtype,
            const BenchOptions& options) {
  const bool listed = workload.functions.empty() || std::ranges::count(workload.functions, function.name) > 0;
  return listed && std::ranges::count(workload.dtypes, dtype) > 0 &&
         workload.name.find(options.workload) != std::string::npos;
}

std::vector<Job> make_jobs(const WorkloadFile& file, const BenchOptions& options) {
  std::vector<Job> jobs;
  for (const FunctionSpec& function : file.functions) {
    if (!options.function.empty() && function.name != options.function) continue;
    for (const auto& [dtype, tolerance] : function.tolerance) {
      if (options.dtype && *options.dtype != dtype) continue;
      Job job{&function, dtype, tolerance, {}};
      for (const Workload& workload : file.workloads)
        if (wanted(workload, function, dtype, options)) job.workloads.push_back(&workload);
      // Without a filter for workloads every data type is checked, even one that no workload times.
      const bool is_filtered = !options.workload.empty() || options.by_hand;
      if (!is_filtered || !job.workloads.empty()) jobs.push_back(std::move(job));
    }
  }
  return jobs;
}

class Runner {
 public:
  Runner(const BenchOptions& options, const ProgressSink& progress, std::stop_token stop,
         const fs::path& library)
      : options_(options), progress_(progress), stop_(std::move(stop)) {
    base_ = request_for(library, options);
    state_.total = 0;
  }

  void plan(const std::vector<Job>& jobs) {
    for (const Job& job : jobs)
      state_.total += 1 + job.workloads.size();
  }

  Status run(const Job& job, const std::vector<Sizes>& probes, BenchReport& report) {
    CaseRequest request = base_;
    request.function = *job.function;
    request.dtype = job.dtype;
    request.checks = probes;
    auto probed = run_row(row_of(job, "probes", {}), request, report);
    if (!probed) return probed;
    const CaseResult verdict = report.rows.back().result;
    for (const Workload* workload : job.workloads) {
      auto row = row_of(job, workload->name, workload->sizes);
      if (verdict.verdict != Verdict::right) {
        row.result = verdict;
        row.result.reason = "not run, because the probes are not right: " + verdict.reason;
        report.rows.push_back(std::move(row));
        ++state_.done;
        continue;
      }
      set_shape(request, workload->sizes);
      if (auto done = run_row(std::move(row), request, report); !done) return done;
    }
    return {};
  }

 private:
  void set_shape(CaseRequest& request, const Sizes& sizes) const {
    request.checks.clear();
    request.timed.reset();
    if (options_.mode == Mode::validate_only)
      request.checks = {sizes};
    else
      request.timed = sizes;
  }

  static ResultRow row_of(const Job& job, const std::string& workload, const Sizes& sizes) {
    return {.function = job.function->name,
            .workload = workload,
            .dtype = job.dtype,
            .sizes = sizes,
            .tolerance = job.tolerance,
            .result = {}};
  }

  Status run_row(ResultRow row, const CaseRequest& request, BenchReport& report) {
    const std::string title =
        row.function + " " + std::string(runtime::name_of(row.dtype)) + " " + row.workload;
    const auto tell = [&](const std::string& what) {
      state_.what = title + ": " + what;
      if (progress_) progress_(state_);
    };
    tell("starting");
    auto answer = run_in_worker(
        request, {options_.worker, options_.time_limit}, options_.rule,
        [&](const CaseStep& step) { tell(step.text); }, stop_);
    if (!answer) return std::unexpected(std::move(answer).error().while_doing("measuring " + title));
    row.result = std::move(answer->result);
    if (!report.device && !answer->device.kind.empty()) report.device = std::move(answer->device);
    report.rows.push_back(std::move(row));
    ++state_.done;
    return {};
  }

  const BenchOptions& options_;
  const ProgressSink& progress_;
  std::stop_token stop_;
  CaseRequest base_;
  BenchProgress state_;
};

}  // namespace

CaseRequest request_for(const fs::path& library, const BenchOptions& options) {
  CaseRequest request;
  request.library = fs::absolute(library).string();
  request.provider = fs::absolute(options.provider).string();
  if (!options.torch_lib.empty()) request.torch_lib = fs::absolute(options.torch_lib).string();
  if (!options.python_stub.empty()) request.python_stub = fs::absolute(options.python_stub).string();
  request.device = options.device;
  request.device_index = options.device_index;
  request.seed = options.seed;
  return request;
}

Result<BenchReport> report_for(const fs::path& library) {
  auto abi = runtime::abi_of(library);
  if (!abi) return std::unexpected(std::move(abi).error());
  return BenchReport{.library = library.filename().string(),
                     .runner = std::string(runtime::name_of(*abi)),
                     .device = {},
                     .rows = {}};
}

Result<BenchReport> bench_variant(const fs::path& variant_dir, const BenchOptions& options,
                                  const ProgressSink& progress, const std::stop_token& stop) {
  auto text = read_file(variant_dir / "workloads.toml", 1 << 20);
  if (!text)
    return std::unexpected(
        std::move(text).error().with_hint("only kernels with a workloads.toml, and repositories with "
                                          "`benchmarks/benchmark*.py`, can be measured"));
  auto file = parse_workloads(*text);
  if (!file)
    return std::unexpected(std::move(file).error().while_doing("opening `" + variant_dir.string() + "`"));
  auto library = runtime::find_library(variant_dir);
  if (!library) return std::unexpected(std::move(library).error());
  if (options.by_hand) {
    auto workload = to_workload(*options.by_hand, *file);
    if (!workload) return std::unexpected(std::move(workload).error());
    file->workloads = {std::move(*workload)};
  }
  const std::vector<Job> jobs = make_jobs(*file, options);
  if (jobs.empty()) return fail(Errc::no_match, "no function, workload and data type pass the filters");

  auto report = report_for(*library);
  if (!report) return report;
  Runner runner(options, progress, stop, *library);
  runner.plan(jobs);
  for (const Job& job : jobs) {
    auto done = runner.run(job, file->probes, *report);
    if (done) continue;
    if (done.error().code() != Errc::interrupted) return std::unexpected(std::move(done).error());
    break;
  }
  return report;
}

BenchPrograms find_programs() {
  std::error_code code;
  const fs::path here = fs::read_symlink("/proc/self/exe", code).parent_path();
  const auto first = [&](std::initializer_list<fs::path> places) -> fs::path {
    for (const fs::path& place : places)
      if (fs::is_regular_file(here / place, code)) return (here / place).lexically_normal();
    return {};
  };
  return {first({"kernels-worker", "../libexec/kernels/kernels-worker"}),
          first({"lib/kernels/libtvm_ffi.so", "../lib/kernels/libtvm_ffi.so",
                 "../lib64/kernels/libtvm_ffi.so", "../" KERNELS_LIBRARY_FOLDER "/kernels/libtvm_ffi.so"}),
          first({"lib/kernels/libkernels_python.so", "../lib/kernels/libkernels_python.so",
                 "../lib64/kernels/libkernels_python.so",
                 "../" KERNELS_LIBRARY_FOLDER "/kernels/libkernels_python.so"})};
}

}  // namespace kernels::bench
