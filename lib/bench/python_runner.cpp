#include "kernels/bench/python_runner.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

#include "meter.h"

namespace kernels::bench {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMostScripts = 100;
constexpr std::size_t kMethodPrefix = std::string_view("benchmark_").size();
/// What the Python package compares with.
constexpr Tolerance kTolerance{.relative = 1e-5, .absolute = 1e-2};

/// No network, no tokens, no bytecode beside the files of others; the kernel under its own name is the one
/// that is measured, also for the package's `get_kernel`.
std::vector<std::pair<std::string, std::string>> environment_for(const ScriptTarget& target) {
  std::vector<std::pair<std::string, std::string>> out = {{"PYTHONDONTWRITEBYTECODE", "1"},
                                                          {"HF_HUB_OFFLINE", "1"},
                                                          {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"},
                                                          {"HF_TOKEN_PATH", "/dev/null"}};
  const auto place = target.repository.string();
  const bool can_be_named = (target.kernel + place).find_first_of(":=") == std::string::npos;
  if (can_be_named) out.emplace_back("LOCAL_KERNELS", target.kernel + "=" + place);
  return out;
}

/// One benchmark of one script.
struct Job {
  fs::path script;
  std::string listed;    ///< its class, as the interpreter names it
  std::string method;    ///< `benchmark_X`
  std::string function;  ///< of the row
  std::string workload;  ///< `X`
};

class ScriptRunner {
 public:
  ScriptRunner(const ScriptTarget& target, const BenchOptions& options, const ProgressSink& progress,
               std::stop_token stop)
      : options_(options), progress_(progress), stop_(std::move(stop)) {
    std::error_code code;
    target_ = {.repository = fs::absolute(target.repository, code).lexically_normal(),
               .variant = fs::absolute(target.variant, code).lexically_normal(),
               .kernel = target.kernel,
               .needs = target.needs};
    if (options.device == runtime::DeviceKind::cpu) report_.device = cpu_device();
  }

  /// Adds what the script has to the jobs, or a row that says why it has nothing.
  Status list(const fs::path& script, bool is_one_of_many) {
    auto session = start(script, {{"action", "list"}});
    if (!session) return fail(std::move(session).error());
    const auto name = script.filename().string();
    tell(name, "starting");
    auto listing = session->list([&](const CaseStep& step) { tell(name, step.text); }, stop_);
    if (!listing) return fail(std::move(listing).error());
    if (!*listing) return add_failed(script, std::move(listing->error()));
    auto classes = parse_listing(**listing);
    if (!classes)
      return add_failed(script, {.verdict = Verdict::failed,
                                 .reason = describe(classes.error()),
                                 .probe = {},
                                 .numerics = {},
                                 .timing = {}});
    for (const auto& one : *classes)
      for (const auto& method : one.methods)
        add({.script = script,
             .listed = one.name,
             .method = method,
             .function = is_one_of_many ? script.stem().string() + "." + one.name : one.name,
             .workload = method.substr(kMethodPrefix)});
    return {};
  }

  Status run() {
    total_ = jobs_.size();
    for (const auto& job : jobs_) {
      if (auto done = run(job); !done) return done;
      ++done_;
    }
    return {};
  }

  BenchReport& report() { return report_; }

 private:
  void add(Job job) {
    const bool has_function = options_.function.empty() || options_.function == job.function;
    if (has_function && job.workload.find(options_.workload) != std::string::npos)
      jobs_.push_back(std::move(job));
  }

  Status add_failed(const fs::path& script, CaseResult result) {
    report_.rows.push_back({.function = script.filename().string(),
                            .workload = "script",
                            .dtype = {},
                            .sizes = {},
                            .tolerance = kTolerance,
                            .result = std::move(result)});
    return {};
  }

  void tell(const std::string& title, const std::string& what) const {
    if (progress_)
      progress_({.done = done_, .total = std::max(total_, done_ + 1), .what = title + ": " + what});
  }

  Result<WorkerSession> start(const fs::path& script, json request) const {
    auto bytes = read_file(script, 16 << 20);
    if (!bytes) return fail(std::move(bytes).error().while_doing("reading a benchmark script"));
    request.update({{"script", script.string()},
                    {"script_text", script.filename().string() + " with SHA-256 " + sha256_hex(*bytes)},
                    {"repository", target_.repository.string()},
                    {"variant", target_.variant.string()},
                    {"kernel", target_.kernel},
                    {"needs", needs_json()},
                    {"device", options_.device == runtime::DeviceKind::cuda ? "cuda" : "cpu"},
                    {"index", options_.device_index},
                    {"cache_bytes", cpu_cache_bytes()},
                    {"timed", options_.mode == Mode::validate_and_measure},
                    {"seed", options_.seed}});
    return WorkerSession::start(
        InterpreterRequest{.interpreter = options_.python.string(),
                           .payload = request.dump(-1, ' ', false, json::error_handler_t::replace),
                           .environment = environment_for(target_)},
        {.program = options_.worker, .time_limit = options_.time_limit});
  }

  json needs_json() const {
    json out = json::object();
    for (const auto& [repo, folder] : target_.needs)
      out[repo] = folder.string();
    return out;
  }

  Status run(const Job& job) {
    const auto title = job.function + " " + job.workload;
    auto session = start(job.script, {{"action", "run"}, {"class", job.listed}, {"method", job.method}});
    if (!session) return fail(std::move(session).error().while_doing("measuring " + title));
    const StepSink on_step = [&](const CaseStep& step) { tell(title, step.text); };
    on_step({"starting"});
    auto answer = session->prepare(on_step, stop_);
    if (!answer) return fail(std::move(answer).error().while_doing("measuring " + title));
    // Code of others ran there: a plan beside another verdict would be a time of what is not right.
    if (!may_have_time(answer->result.verdict)) answer->plan.reset();
    answer->device.kind = options_.device == runtime::DeviceKind::cuda ? "cuda" : "cpu";
    Candidate candidate{.answer = std::move(*answer), .session = std::move(*session), .disturbed = {}};
    if (auto done = sample_in_turns({&candidate, 1}, options_.rule, on_step, stop_); !done) return done;
    add_row(job, std::move(candidate.answer));
    return {};
  }

  void add_row(const Job& job, CaseAnswer answer) {
    if (!report_.device && !answer.device.name.empty()) report_.device = std::move(answer.device);
    if (options_.dtype && answer.dtype && *options_.dtype != *answer.dtype) return;
    report_.rows.push_back({.function = job.function,
                            .workload = job.workload,
                            .dtype = answer.dtype,
                            .sizes = {},
                            .tolerance = kTolerance,
                            .result = std::move(answer.result)});
  }

  const BenchOptions& options_;
  const ProgressSink& progress_;
  std::stop_token stop_;
  ScriptTarget target_;
  std::vector<Job> jobs_;
  std::size_t done_ = 0;
  std::size_t total_ = 0;
  BenchReport report_;
};

/// Listings, then rows. Errors  as of the sessions, interrupted among them.
Status measure(ScriptRunner& runner, const std::vector<fs::path>& scripts) {
  for (const auto& script : scripts)
    if (auto listed = runner.list(script, scripts.size() > 1); !listed) return listed;
  return runner.run();
}

}  // namespace

std::vector<fs::path> benchmark_scripts(const fs::path& repository) {
  std::vector<fs::path> out;
  std::error_code code;
  for (fs::directory_iterator it(repository / "benchmarks", code), end; !code && it != end;
       it.increment(code)) {
    const auto name = it->path().filename().string();
    std::error_code broken;
    if (name.starts_with("benchmark") && name.ends_with(".py") && it->is_regular_file(broken))
      out.push_back(it->path());
  }
  std::ranges::sort(out);
  if (out.size() > kMostScripts) out.resize(kMostScripts);
  return out;
}

Result<BenchReport> bench_scripts(const ScriptTarget& target, const BenchOptions& options,
                                  const ProgressSink& progress, const std::stop_token& stop) {
  const auto scripts = benchmark_scripts(fs::absolute(target.repository));
  if (scripts.empty())
    return fail(Errc::not_found,
                "there is no `benchmarks/benchmark*.py` in `" + target.repository.string() + "`");
  if (options.by_hand)
    return fail(Errc::invalid_argument, "a benchmark script chooses its shapes itself: it takes no sizes");
  if (options.python.empty())
    return fail(Error(Errc::io, "there is no Python interpreter for the benchmark scripts")
                    .with_hint("activate an environment, or name one with `--python FILE`"));
  ScriptRunner runner(target, options, progress, stop);
  runner.report().library =
      scripts.size() == 1 ? "benchmarks/" + scripts.front().filename().string() : "benchmarks/benchmark*.py";
  auto done = measure(runner, scripts);
  if (!done && done.error().code() != Errc::interrupted) return fail(std::move(done).error());
  if (done && runner.report().rows.empty())
    return fail(Errc::no_match, "no class and method of the benchmark scripts pass the filters");
  return std::move(runner.report());
}

}  // namespace kernels::bench
