#include "meter.h"
#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;

namespace {
FunctionSpec copy_function(const std::string& name) {
  FunctionSpec function{
      .name = name, .reference = "copy", .independent = "rows", .arguments = {}, .tolerance = {}};
  function.arguments = {{"out", {}, Access::write, {{1, {"rows"}}, {1, {"cols"}}}},
                        {"x", {}, Access::read, {{1, {"rows"}}, {1, {"cols"}}}}};
  return function;
}
}  // namespace

TEST_CASE("check: large shapes of independent rows are compared on a sample, and written completely",
          "[bench]") {
  auto library = runtime::open_tvm_ffi_runner(KERNELS_TEST_MISBEHAVING, test::provider_path());
  REQUIRE(library);
  const Sizes large = {{"rows", 4096}, {"cols", 1024}};
  Random random(test::seed());
  const auto right = copy_function("copy");
  CheckContext context{library->get(), &right, {1e-6, 1e-6}, {DType::float32, Rows::dense, nullptr, 0}};
  const auto outcome = check(context, large, random);
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::right);
  CHECK(outcome->checked == 1 << 20);
  // Its one mistake is in the last row, which is always in the sample.
  const auto wrong = copy_function("one_wrong");
  context.function = &wrong;
  const auto found = check(context, large, random);
  REQUIRE(found);
  CHECK(found->verdict == Verdict::wrong);
}

TEST_CASE("check: arguments of other types are filled, compared and guarded in their own", "[bench]") {
  auto library = runtime::open_tvm_ffi_runner(KERNELS_TEST_MISBEHAVING, test::provider_path());
  REQUIRE(library);
  Random random(test::seed());
  const auto outcome_of = [&](const char* name, DType out, DType x, double relative, Rows rows) {
    auto function = copy_function(name);
    function.arguments[0].dtype = out;
    function.arguments[0].tolerance = Tolerance{relative, 0};
    function.arguments[1].dtype = x;
    function.arguments[1].below = SizeProduct{300, {}};
    const CheckContext context{library->get(), &function, {0, 0}, {DType::float32, rows, nullptr, 0}};
    auto outcome = check(context, {{"rows", 5}, {"cols", 67}}, random);
    if (!outcome) FAIL(describe(outcome.error()));
    return *outcome;
  };
  for (const Rows rows : {Rows::dense, Rows::padded}) {
    for (const DType type : {DType::float8_e4m3fn, DType::int32, DType::int64, DType::float16}) {
      INFO(runtime::name_of(type));
      const auto same = outcome_of("copy", type, type, 0, rows);
      CHECK(same.reason.empty());
      CHECK(same.verdict == Verdict::right);
      CHECK(same.checked == 5 * 67);
      CHECK(same.max_error == 0);
      // Its poison, whatever that is in this type, is found.
      CHECK(outcome_of("nothing", type, type, 0.25, rows).reason.find("not written completely") !=
            std::string::npos);
    }
    // The output is compared in its own type: whole numbers exactly, float8 with its tolerance.
    CHECK(outcome_of("cast", DType::int32, DType::int64, 0, rows).verdict == Verdict::right);
    CHECK(outcome_of("one_more", DType::int64, DType::int32, 0, rows).reason.find("element 0") !=
          std::string::npos);
  }
}

TEST_CASE("meter: a copy runs near the copy that is its limit", "[bench]") {
  // The kernel here copies element by element, so only the order of magnitude is a fact.
  auto library = runtime::open_tvm_ffi_runner(KERNELS_TEST_MISBEHAVING, test::provider_path());
  REQUIRE(library);
  const auto function = copy_function("copy");
  const CheckContext context{
      library->get(), &function, {1e-6, 1e-6}, {DType::float32, Rows::dense, nullptr, 0}};
  Random random(test::seed());
  auto meter = make_cpu_meter(context, {{"rows", 64}, {"cols", 4096}}, random, nullptr, std::nullopt);
  if (!meter) FAIL(describe(meter.error()));
  const auto plan = (*meter)->plan();
  CHECK(plan.bytes == 2 * 64 * 4096 * 4);
  auto batch = (*meter)->sample(3);
  if (!batch) FAIL(describe(batch.error()));
  for (const auto& [kind, series] : plan.series) {
    INFO(name_of(kind));
    CHECK(batch->samples[kind].size() == 3);
  }
  const auto share =
      ratio_of(summarize(batch->samples[SeriesKind::limit]), summarize(batch->samples[SeriesKind::cold]));
  CHECK(share.value > 0.001);
  CHECK(share.value < 3);
}

TEST_CASE("meter: traffic counts what is read, written and changed in place", "[bench]") {
  FunctionSpec function{.name = "f", .reference = "r", .independent = "", .arguments = {}, .tolerance = {}};
  function.arguments = {{"out", {}, Access::write, {{1, {"rows"}}, {1, {"cols"}}}},
                        {"x", {}, Access::read, {{1, {"rows"}}, {2, {"cols"}}}},
                        {"y", {}, Access::read_write, {{1, {"cols"}}}},
                        {"eps", 1e-6, {}, {}}};
  const auto traffic = traffic_of(function, {{"rows", 10}, {"cols", 100}}, DType::bfloat16);
  REQUIRE(traffic);
  CHECK(traffic->read == 2 * (2000 + 100));
  CHECK(traffic->written == 2 * (1000 + 100));
  CHECK(traffic->in_place == 200);
  CHECK(traffic->bytes() == *bytes_moved(function, {{"rows", 10}, {"cols", 100}}, DType::bfloat16));
}

TEST_CASE("meter: traffic has the width of each argument, and only the rows that are looked up", "[bench]") {
  FunctionSpec function{.name = "f", .reference = "r", .independent = "", .arguments = {}, .tolerance = {}};
  function.arguments = {{.name = "out",
                         .value = {},
                         .access = Access::write,
                         .shape = {{1, {"rows"}}, {1, {"cols"}}},
                         .dtype = DType::float8_e4m3fn},
                        {.name = "places",
                         .value = {},
                         .access = Access::read,
                         .shape = {{1, {"rows"}}},
                         .dtype = DType::int64},
                        {.name = "table",
                         .value = {},
                         .access = Access::read,
                         .shape = {{1000, {}}, {1, {"cols"}}},
                         .moved = {{1, {"rows"}}, {1, {"cols"}}}}};
  const auto traffic = traffic_of(function, {{"rows", 10}, {"cols", 100}}, DType::bfloat16);
  REQUIRE(traffic);
  CHECK(traffic->written == 10 * 100);
  CHECK(traffic->read == 8 * 10 + 2 * 10 * 100);
  CHECK(traffic->bytes() == *bytes_moved(function, {{"rows", 10}, {"cols", 100}}, DType::bfloat16));
}

TEST_CASE("meter: as many buffer sets as leave nothing of the first in the cache", "[bench]") {
  struct Row {
    std::uint64_t bytes, cache, room, most, sets;
    bool is_cold;
  };
  const auto row = GENERATE(values<Row>({{100, 1000, 1'000'000, 4096, 20, true},
                                         {3000, 1000, 1'000'000, 4096, 1, true},
                                         {100, 1000, 500, 4096, 5, false},
                                         {1, 1000, 1'000'000, 64, 64, false},
                                         {0, 1000, 1'000'000, 4096, 2000, false},
                                         {3000, 1000, 10, 4096, 1, true}}));
  INFO(row.bytes << " bytes, room for " << row.room);
  const auto plan = rotation(row.bytes, row.cache, row.room, row.most);
  CHECK(plan.sets == row.sets);
  CHECK(plan.is_cold == row.is_cold);
}
