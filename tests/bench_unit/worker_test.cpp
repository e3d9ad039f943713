#include "kernels/bench/worker.h"

#include <algorithm>
#include <fstream>
#include <thread>

#include <dirent.h>
#include <sched.h>
#include <sys/wait.h>

#include "kernels/base/file.h"
#include "kernels/bench/bench.h"

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

CaseRequest request_for(const std::string& function) {
  CaseRequest request;
  request.library = KERNELS_TEST_MISBEHAVING;
  request.provider = test::provider_path();
  request.function.name = function;
  request.function.reference = "copy";
  request.function.arguments = {{"out", {}, Access::write, {{1, {"rows"}}, {1, {"cols"}}}},
                                {"x", {}, Access::read, {{1, {"rows"}}, {1, {"cols"}}}}};
  request.function.tolerance[DType::float32] = {1e-6, 1e-6};
  request.checks = {{{"rows", 3}, {"cols", 5}}};
  request.seed = test::seed();
  return request;
}

WorkerOptions worker(std::chrono::milliseconds limit = std::chrono::seconds(30)) {
  return {.program = KERNELS_TEST_WORKER, .time_limit = limit};
}

/// Short, for what is not about the times.
const StoppingRule kBrief = {.precision = 0.5, .budget_seconds = 0.1};

Result<CaseResult> run(const CaseRequest& request,
                       std::chrono::milliseconds limit = std::chrono::seconds(30)) {
  auto answer = run_in_worker(request, worker(limit), kBrief, {}, {});
  if (!answer) return fail(std::move(answer).error());
  return std::move(answer->result);
}

/// Processes whose program is the worker, wherever they hang.
std::size_t workers_alive() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::error_code code;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", code);
    if (!code && program == std::filesystem::path(KERNELS_TEST_WORKER)) ++count;
  }
  return count;
}

std::vector<unsigned> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
  std::vector<unsigned> out;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("worker: a right kernel is right, and the steps are told", "[bench]") {
  std::vector<std::string> steps;
  const auto answer = run_in_worker(request_for("copy"), worker(), kBrief,
                                    [&](const CaseStep& step) { steps.push_back(step.text); }, {});
  REQUIRE(answer);
  const auto& result = answer->result;
  INFO(result.reason);
  CHECK(result.verdict == Verdict::right);
  CHECK(result.numerics.checked == 30);
  CHECK(result.numerics.max_error == 0);
  CHECK_FALSE(result.timing);
  CHECK(answer->device.kind == "cpu");
  CHECK_FALSE(answer->device.name.empty());
  CHECK(std::ranges::count(steps, "checking cols=5 rows=3") == 1);
}

TEST_CASE("worker: whatever a kernel does becomes a verdict with its reason", "[bench]") {
  struct Row {
    const char* function;
    Verdict verdict;
    const char* reason;
  };
  const auto row = GENERATE(values<Row>(
      {{"crash", Verdict::crashed, "killed by SIGSEGV while checking cols=5 rows=3"},
       {"leave", Verdict::crashed, "ended with status 3 and no answer while checking cols=5 rows=3"},
       {"leave", Verdict::crashed, "the kernel says goodbye"},
       {"one_wrong", Verdict::wrong, "`out` element 14"},
       {"changing", Verdict::wrong, "the same call gives other bits in 4 of 4 repeats: a race"},
       {"nothing", Verdict::wrong, "`out` was not written completely"},
       {"outside", Verdict::wrong, "memory of `out` that is not its output was changed"},
       {"into_gap", Verdict::wrong, "with padded rows: memory of `out`"},
       {"into_input", Verdict::wrong, "memory of `x` that is not its output was changed"},
       {"refuses", Verdict::raised, "ValueError: not today"},
       {"throws", Verdict::crashed, "thrown through a C interface"},
       {"greedy", Verdict::out_of_memory, "no memory left"},
       {"absent", Verdict::failed, "the library has no function `absent`"}}));
  DYNAMIC_SECTION(row.function << ": " << row.reason) {
    const auto result = run(request_for(row.function));
    REQUIRE(result);
    INFO(result->reason);
    CHECK(result->verdict == row.verdict);
    CHECK(result->reason.find(row.reason) != std::string::npos);
    CHECK_FALSE(result->timing);
  }
}

TEST_CASE("worker: a wrong kernel has no time", "[bench]") {
  auto request = request_for("one_wrong");
  request.checks.clear();
  request.timed = Sizes{{"rows", 3}, {"cols", 5}};
  const auto result = run(request);
  REQUIRE(result);
  CHECK(result->verdict == Verdict::wrong);
  CHECK_FALSE(result->timing);
}

TEST_CASE("worker: the time limit ends a hang, and its children with it", "[bench]") {
  for (const char* function : {"hang", "fork_and_hang"}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto result = run(request_for(function), std::chrono::milliseconds(1500));
    REQUIRE(result);
    CHECK(result->verdict == Verdict::timed_out);
    CHECK(result->reason.find("while checking cols=5 rows=3") != std::string::npos);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  }
  // A killed process may take a moment to go.
  for (int i = 0; i < 100 && workers_alive() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(workers_alive() == 0);
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("worker: a request to stop ends it at once", "[bench]") {
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    source.request_stop();
  });
  const auto result =
      run_in_worker(request_for("hang"), worker(std::chrono::seconds(60)), kBrief, {}, source.get_token());
  REQUIRE_FALSE(result);
  CHECK(result.error().code() == Errc::interrupted);
}

TEST_CASE("worker: it dies with its parent", "[bench]") {
  const pid_t child = fork();
  if (child == 0) {
    (void)run(request_for("hang"), std::chrono::seconds(60));
    _exit(0);
  }
  for (int i = 0; i < 200 && workers_alive() == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(workers_alive() == 1);
  // The parent's own settings must be in place before it dies: the worker makes them first.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (int i = 0; i < 200 && workers_alive() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(workers_alive() == 0);
}

TEST_CASE("worker: a program that cannot be started is an error, one that says nothing a crash", "[bench]") {
  const auto absent =
      run_in_worker(request_for("copy"), {"/nonexistent/worker", std::chrono::seconds(5)}, kBrief, {}, {});
  REQUIRE_FALSE(absent);
  CHECK(absent.error().code() == Errc::io);
  const auto silent =
      run_in_worker(request_for("copy"), {"/bin/false", std::chrono::seconds(5)}, kBrief, {}, {});
  REQUIRE(silent);
  CHECK(silent->result.verdict == Verdict::crashed);
  CHECK(silent->result.reason.find("ended with status 1 and no answer while starting") != std::string::npos);
}

TEST_CASE("worker: no token is in its environment", "[bench]") {
  test::TempFolder temp;
  auto script = temp / "worker";
  auto seen = temp / "environment";
  test::put(script, "#!/bin/sh\nenv > '" + seen.string() + "'\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  ::setenv("HF_TOKEN", "hf_canary", 1);
  const auto result = run_in_worker(request_for("copy"), {script, std::chrono::seconds(10)}, kBrief, {}, {});
  ::unsetenv("HF_TOKEN");
  std::ifstream stream(seen);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  CHECK(text.find("PATH=") != std::string::npos);
  CHECK(text.find("canary") == std::string::npos);
}

TEST_CASE("worker: a shape that does not fit is refused before memory is taken", "[bench]") {
  auto request = request_for("copy");
  request.checks = {{{"rows", std::int64_t{1} << 20}, {"cols", std::int64_t{1} << 19}}};
  const auto result = run(request);
  REQUIRE(result);
  INFO(result->reason);
  CHECK(result->verdict == Verdict::out_of_memory);
  CHECK(result->reason.find("more than half of what is free") != std::string::npos);
}

TEST_CASE("bench: a built variant is right and its times are consistent", "[bench]") {
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda || variant.kernel != "rmsnorm") continue;
    BenchOptions options;
    options.workload = "decode-1";
    options.function = "rms_norm";
    options.dtype = DType::float32;
    options.seed = test::seed();
    options.rule = {.precision = 0.0001, .budget_seconds = 0.2};
    options.worker = KERNELS_TEST_WORKER;
    options.provider = test::provider_path();
    std::size_t calls = 0;
    const auto report = bench_variant(variant.folder, options, [&](const BenchProgress&) { ++calls; }, {});
    if (!report) FAIL(describe(report.error()));
    REQUIRE(report->rows.size() == 2);
    CHECK(calls > 2);
    CHECK(report->rows[0].workload == "probes");
    for (const auto& row : report->rows) {
      INFO(row.result.reason);
      CHECK(row.result.verdict == Verdict::right);
    }
    REQUIRE(report->rows[1].result.timing);
    const Timing& timing = *report->rows[1].result.timing;
    for (auto kind : {SeriesKind::cold, SeriesKind::limit, SeriesKind::single, SeriesKind::warm}) {
      INFO(name_of(kind));
      REQUIRE(timing.find(kind) != nullptr);
      const auto summary = timing.find(kind)->summary();
      CHECK(summary.samples >= 3);
      CHECK(summary.min > 0);
      CHECK(summary.min <= summary.median);
      CHECK(summary.median <= summary.p95);
    }
    CHECK(timing.stopped == Stopped::budget);
    CHECK(timing.bytes == 3 * 4096 * 4);
    const auto median = timing.find(SeriesKind::cold)->summary().median;
    CHECK(timing.gb_per_s() == kernels::test::Approx(static_cast<double>(timing.bytes) / median));
    CHECK(report->rows[1].result.share_of_limit()->value > 0);
    REQUIRE(report->rows[1].result.speedup());
    CHECK(report->rows[1].result.speedup()->value > 0);
    CHECK(timing.method.find("cold") != std::string::npos);
    REQUIRE(report->device);
    CHECK(report->device->kind == "cpu");
  }
}

TEST_CASE("bench: candidates are sampled in turns, and one that fails leaves the others alone", "[bench]") {
  auto request = request_for("copy");
  request.timed = Sizes{{"rows", 64}, {"cols", 64}};
  auto dying = request_for("dies_later");
  dying.timed = request.timed;
  std::vector<Candidate> candidates;
  for (const auto& one : {request, dying, request}) {
    auto session = WorkerSession::start(one, worker());
    REQUIRE(session);
    auto answer = session->prepare({}, {});
    REQUIRE(answer);
    INFO(answer->result.reason);
    REQUIRE(answer->plan);
    candidates.push_back({.answer = std::move(*answer), .session = std::move(*session)});
  }
  std::size_t turns = 0;
  REQUIRE(sample_in_turns(candidates, {.precision = 0.0001, .budget_seconds = 0.2},
                          [&](const CaseStep&) { ++turns; }, {}));
  CHECK(turns > 6);
  for (std::size_t i : {0U, 2U}) {
    INFO(candidates[i].answer.result.reason);
    CHECK(candidates[i].answer.result.verdict == Verdict::right);
    REQUIRE(candidates[i].answer.result.timing);
    CHECK(candidates[i].answer.result.timing->find(SeriesKind::cold)->samples.size() >= 3);
  }
  CHECK(candidates[1].answer.result.verdict == Verdict::crashed);
  CHECK(candidates[1].answer.result.reason.find("status 7") != std::string::npos);
  CHECK_FALSE(candidates[1].answer.result.timing);
  CHECK(candidates[1].answer.result.numerics.checked > 0);
  candidates.clear();
  for (int i = 0; i < 100 && workers_alive() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(workers_alive() == 0);
}

TEST_CASE("worker: one thread is timed on the processor that it is told, if it may run there", "[bench]") {
  auto request = request_for("copy");
  request.timed = Sizes{{"rows", 64}, {"cols", 64}};
  auto processor = [&](std::optional<unsigned> wanted) {
    request.processor = wanted;
    auto session = WorkerSession::start(request, worker());
    REQUIRE(session);
    auto answer = session->prepare({}, {});
    REQUIRE(answer);
    REQUIRE(answer->processor);
    return *answer->processor;
  };
  for (unsigned wanted : usable_processors())
    CHECK(processor(wanted) == wanted);
  auto usable = usable_processors();
  CHECK(std::ranges::find(usable, processor(std::nullopt)) != usable.end());
  CHECK(std::ranges::find(usable, processor(1U << 20U)) != usable.end());
}

TEST_CASE("bench: interrupted, it returns what it has, and leaves no process", "[bench]") {
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda || variant.kernel != "rmsnorm") continue;
    BenchOptions options;
    options.rule = {.precision = 0.0001, .budget_seconds = 30};
    options.worker = KERNELS_TEST_WORKER;
    options.provider = test::provider_path();
    std::stop_source source;
    auto stop_when_measuring = [&](const BenchProgress& progress) {
      if (progress.what.find("measuring, turn 3") != std::string::npos) source.request_stop();
    };
    const auto report = bench_variant(variant.folder, options, stop_when_measuring, source.get_token());
    REQUIRE(report);
    REQUIRE(report->rows.size() == 1);
    CHECK(report->rows[0].workload == "probes");
    CHECK(workers_alive() == 0);
  }
}

TEST_CASE("bench: wrong probes take the times away from all workloads", "[bench]") {
  const test::TempFolder folder;
  std::filesystem::copy_file(KERNELS_TEST_MISBEHAVING, folder / "kernel.so");
  test::put(folder / "workloads.toml", R"(
schema = 1
[[functions]]
name = "one_wrong"
reference = "copy"
arguments = [{name = "out", access = "write", shape = ["n", "2*m"]}, {name = "x", access = "read", shape = ["n", "2*m"]}]
[functions.tolerance]
float32 = {relative = 1e-6, absolute = 1e-6}
[[probes]]
sizes = {n = 2, m = 2}
[[workloads]]
name = "some"
sizes = {n = 64, m = 64}
dtypes = ["float32"]
)");
  BenchOptions options;
  options.worker = KERNELS_TEST_WORKER;
  options.provider = test::provider_path();
  const auto report = bench_variant(folder.path(), options, {}, {});
  if (!report) FAIL(describe(report.error()));
  REQUIRE(report->rows.size() == 2);
  CHECK(report->rows[1].result.verdict == Verdict::wrong);
  CHECK(report->rows[1].result.reason.find("probes are not right") != std::string::npos);
  CHECK_FALSE(report->rows[1].result.timing);
  options.function = "another";
  const auto none = bench_variant(folder.path(), options, {}, {});
  REQUIRE_FALSE(none);
  CHECK(none.error().code() == Errc::no_match);
}
