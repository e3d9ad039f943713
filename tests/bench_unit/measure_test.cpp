#include "measure.h"

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;

namespace {
FunctionSpec copy_function(const std::string& name) {
  FunctionSpec function{name, "copy", "rows", {}, {}};
  function.arguments = {{"out", {}, Access::write, {{1, {"rows"}}, {1, {"cols"}}}},
                        {"x", {}, Access::read, {{1, {"rows"}}, {1, {"cols"}}}}};
  return function;
}
}  // namespace

TEST_CASE("check: large shapes of independent rows are compared on a sample, and written completely",
          "[bench]") {
  auto library = runtime::KernelLibrary::open(KERNELS_TEST_MISBEHAVING, test::provider_path());
  REQUIRE(library);
  const Sizes large = {{"rows", 4096}, {"cols", 1024}};
  Random random(test::seed());
  const auto right = copy_function("copy");
  CheckContext context{&*library, &right, {1e-6, 1e-6}, {DType::float32, Rows::dense, nullptr, 0}};
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

TEST_CASE("measure: a copy runs near the copy that is its limit", "[bench]") {
  // The kernel here copies element by element, so only the order of magnitude is a fact.
  auto library = runtime::KernelLibrary::open(KERNELS_TEST_MISBEHAVING, test::provider_path());
  REQUIRE(library);
  const auto function = copy_function("copy");
  const CheckContext context{&*library, &function, {1e-6, 1e-6}, {DType::float32, Rows::dense, nullptr, 0}};
  Random random(test::seed());
  const auto timing = measure_cpu(context, {{{"rows", 64}, {"cols", 4096}}, 0.1}, random);
  if (!timing) FAIL(describe(timing.error()));
  CHECK(timing->bytes == 2 * 64 * 4096 * 4);
  CHECK(timing->kernel.samples >= 3);
  CHECK(timing->share_of_limit > 0.001);
  CHECK(timing->share_of_limit < 3);
}
