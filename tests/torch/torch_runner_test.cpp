// Torch kernels, classic and of the stable ABI, called through libtorch's C interface in a worker.

#include <fstream>

#include "kernels/bench/worker.h"

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

struct Kind {
  const char* name;
  const char* library;
};
constexpr Kind kKinds[] = {{"classic", KERNELS_TEST_TORCH_CLASSIC},
                           {"stable ABI", KERNELS_TEST_TORCH_STABLE}};

CaseRequest request_for(const Kind& kind) {
  CaseRequest request;
  request.library = kind.library;
  request.provider = test::provider_path();
  request.torch_lib = KERNELS_TEST_TORCH_LIB;
  request.python_stub = KERNELS_TEST_PYTHON_STUB;
  request.function.name = "silu_and_mul";
  request.function.reference = "silu_and_mul_reference";
  request.function.arguments = {{"out", {}, Access::write, {{1, {"rows"}}, {1, {"cols"}}}},
                                {"x", {}, Access::read, {{1, {"rows"}}, {2, {"cols"}}}}};
  request.function.tolerance[DType::float32] = {1e-5, 1e-6};
  request.checks = {{{"rows", 3}, {"cols", 5}}, {{"rows", 0}, {"cols", 5}}};
  request.timed = {{"rows", 8}, {"cols", 1024}};
  request.seed = test::seed();
  return request;
}

CaseResult run(const CaseRequest& request, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  const WorkerOptions worker{.program = KERNELS_TEST_WORKER, .time_limit = limit};
  auto answer = run_in_worker(request, worker, {.precision = 0.5, .budget_seconds = 0.1}, {}, {});
  if (!answer) FAIL(describe(answer.error()));
  return answer->result;
}

}  // namespace

TEST_CASE("torch runner: a library is right and measured, without Python, also when all is bound at once",
          "[torch]") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.name);
    const auto result = run(request_for(kind));
    CAPTURE(result.reason);
    REQUIRE(result.verdict == Verdict::right);
    REQUIRE(result.timing);
    CHECK_FALSE(result.timing->find(SeriesKind::cold)->samples.empty());
    CHECK(result.numerics.checked > 8000);
  }
}

TEST_CASE("torch runner: what an operator raises arrives in its words", "[torch]") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.name);
    auto request = request_for(kind);
    request.function.name = "picky";  // takes what its reference takes, and refuses it
    const auto result = run(request);
    CAPTURE(result.reason);
    CHECK(result.verdict == Verdict::raised);
    CHECK(result.reason.find("RuntimeError: picky: not today") != std::string::npos);
  }
}

TEST_CASE("torch runner: every type of an argument is the one that libtorch takes it for", "[torch]") {
  struct Row {
    DType out;
    DType x;
    Tolerance tolerance;
  };
  for (const auto& row :
       {Row{DType::float8_e4m3fn, DType::int64, {0.07, 1e-3}},
        Row{DType::float64, DType::float8_e4m3fn, {0, 1e-6}}, Row{DType::int32, DType::int64, {}},
        Row{DType::int64, DType::int32, {}}, Row{DType::bfloat16, DType::float16, {1e-2, 1e-2}}}) {
    INFO(runtime::name_of(row.x) << " to " << runtime::name_of(row.out));
    auto request = request_for(kKinds[0]);
    request.function.name = "one_more";
    request.function.reference = "one_more";
    request.function.arguments[0].dtype = row.out;
    request.function.arguments[0].tolerance = row.tolerance;
    request.function.arguments[1].shape = request.function.arguments[0].shape;
    request.function.arguments[1].dtype = row.x;
    if (!runtime::is_floating(row.x)) request.function.arguments[1].below = SizeProduct{300, {}};
    request.timed.reset();
    const auto result = run(request);
    CAPTURE(result.reason);
    CHECK(result.verdict == Verdict::right);
    CHECK(result.numerics.checked == 30);
  }
}

TEST_CASE("torch runner: a schema other than the workload's is refused before the call", "[torch]") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.name);
    auto more = request_for(kind);
    more.function.arguments.push_back({"eps", 1e-6, Access::read, {}});
    const auto result = run(more);
    CHECK(result.verdict == Verdict::failed);
    CHECK(result.reason.find("takes 2 arguments, workloads.toml names 3") != std::string::npos);
    auto other = request_for(kind);
    other.function.arguments[1].value = 1.0;
    CHECK(run(other).reason.find("takes a Tensor for `x`") != std::string::npos);
    auto unknown = request_for(kind);
    unknown.function.name = "no_such";
    CHECK(run(unknown).reason.find("has no function `no_such`") != std::string::npos);
  }
}

TEST_CASE("torch runner: what an operator returns is released", "[torch]") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.name);
    auto request = request_for(kind);
    request.function.name = "silu_and_mul_returning";  // a new tensor of 8 MiB beside `out`, each time
    const auto result = run(request);
    CAPTURE(result.reason);
    REQUIRE(result.verdict == Verdict::right);
  }
}

TEST_CASE("torch runner: a crash and a hang inside an operator are rows", "[torch]") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.name);
    auto request = request_for(kind);
    request.function.name = "aborting";
    CHECK(run(request).verdict == Verdict::crashed);
    request.function.name = "hanging";
    CHECK(run(request, std::chrono::seconds(3)).verdict == Verdict::timed_out);
  }
}
