#include <array>
#include <cstdlib>
#include <set>

#include "kernels/base/file.h"
#include "kernels/bench/case.h"
#include "kernels/bench/workload.h"
#include "kernels/runtime/cuda.h"

#include "operands.h"
#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/seed.h"

// One driver for all kernels: it learns arguments, shapes and tolerances from the workloads.toml of each
// variant, so a new kernel needs no new test.

using namespace kernels;

namespace {

bench::WorkloadFile workloads_of(const test::BuiltVariant& variant) {
  auto text = read_file(variant.folder / "workloads.toml");
  REQUIRE(text);
  auto file = bench::parse_workloads(*text);
  if (!file) FAIL(describe(file.error()));
  return *file;
}

/// Shapes around every edge of the implementations, besides those that the kernel itself names: of rows of
/// some length that is any number; of others, whose sizes depend on one another, the kernel's own with
/// another number of what is independent.
std::vector<bench::Sizes> shapes(const bench::WorkloadFile& file, const bench::FunctionSpec& function) {
  std::vector<bench::Sizes> all = file.probes;
  const bool has_rows_only = file.probes.front().size() == 2 && file.probes.front().contains("rows") &&
                             file.probes.front().contains("cols");
  if (has_rows_only) {
    for (const std::int64_t cols : {0, 1, 2, 7, 8, 31, 127, 256, 1000, 4097, 8192, 33000})
      for (const std::int64_t rows : {1, 4})
        all.push_back({{"rows", rows}, {"cols", cols}});
    return all;
  }
  REQUIRE(file.probes.size() >= 12);
  for (const auto& probe : file.probes) {
    const auto size = probe.find(function.independent);
    REQUIRE(size != probe.end());
    for (const std::int64_t count : {0, 1, 4}) {
      auto other = probe;
      other[function.independent] = count;
      if (size->second != count && size->second != 0) all.push_back(std::move(other));
    }
  }
  return all;
}

void run_all(const test::BuiltVariant& variant) {
  const auto file = workloads_of(variant);
  for (const auto& function : file.functions) {
    for (const auto& [dtype, tolerance] : function.tolerance) {
      bench::CaseRequest request;
      request.library = variant.library;
      request.provider = test::provider_path();
      request.device = variant.cuda ? runtime::DeviceKind::cuda : runtime::DeviceKind::cpu;
      request.function = function;
      request.dtype = dtype;
      request.checks = shapes(file, function);
      request.seed = test::seed();
      const auto result = bench::Case(request, {}).prepare().result;
      INFO(variant.folder << " " << function.name << " " << runtime::name_of(dtype) << ": " << result.reason);
      CHECK(result.verdict == bench::Verdict::right);
      CHECK(result.numerics.checked > 0);
    }
  }
}

}  // namespace

TEST_CASE("kernels: every CPU variant agrees with its float64 reference", "[kernels]") {
  std::set<std::string> seen;
  for (const auto& variant : test::built_variants()) {
    if (variant.cuda) continue;
    // The code for each level of processors that this one runs; the newest last, as everybody else uses it.
    for (const char* level : {"baseline", "v3", "newest"}) {
      INFO("KERNELS_CPU_LEVEL=" << level);
      ::setenv("KERNELS_CPU_LEVEL", level, 1);
      run_all(variant);
    }
    ::unsetenv("KERNELS_CPU_LEVEL");
    seen.insert(variant.kernel);
  }
  CHECK(seen ==
        std::set<std::string>{"activation", "layer-norm", "quantize-fp8", "rmsnorm", "rotary", "softmax"});
}

// Hidden from a plain run by the dot, because KERNELS_TEST_HUB has to name the emulated variants.
TEST_CASE("kernels: CUDA code that is run on the CPU agrees with its float64 reference", "[.][emulated]") {
  std::size_t variants = 0;
  for (const auto& variant : test::built_variants()) {
    run_all(variant);
    ++variants;
  }
  CHECK(variants >= 6);
}

// Hidden from a plain run by the dot, because it needs a device; tests/gpu/run.sh names the tag.
TEST_CASE("kernels: every CUDA variant agrees with its float64 reference", "[.][gpu]") {
  REQUIRE(runtime::Cuda::available());
  std::size_t variants = 0;
  for (const auto& variant : test::built_variants()) {
    if (!variant.cuda) continue;
    run_all(variant);
    ++variants;
  }
  CHECK(variants >= 6);
}

TEST_CASE("kernels: the references agree with formulas written a second time", "[kernels]") {
  // The yardstick itself: a few values, computed here in another way.
  for (const auto& variant : test::built_variants()) {
    if (variant.kernel != "activation") continue;
    auto library = runtime::KernelLibrary::open(variant.library, test::provider_path());
    REQUIRE(library);
    std::array<double, 6> x = {1.0, -2.0, 0.5, 1.0, 1.0, 3.0};
    std::array<double, 3> out{};
    const runtime::Tensor xs(x.data(), runtime::DType::float64, runtime::Layout::dense({1, 6}),
                             runtime::DeviceKind::cpu, 0);
    const runtime::Tensor ys(out.data(), runtime::DType::float64, runtime::Layout::dense({1, 3}),
                             runtime::DeviceKind::cpu, 0);
    const std::array<runtime::Value, 2> arguments = {&ys, &xs};
    REQUIRE(library->call("silu_and_mul_reference", arguments));
    CHECK(out[0] == kernels::test::Approx(0.7310585786300049));
    CHECK(out[1] == kernels::test::Approx(-0.2384058440442351));
    CHECK(out[2] == kernels::test::Approx(3 * 0.3112296656009273));
    REQUIRE(library->call("gelu_and_mul_reference", arguments));
    CHECK(out[0] == kernels::test::Approx(0.8413447460685429));
    CHECK(out[1] == kernels::test::Approx(-0.04550026389635842));
    REQUIRE(library->call("gelu_tanh_and_mul_reference", arguments));
    CHECK(out[0] == kernels::test::Approx(0.8411919906082768));
  }
}
