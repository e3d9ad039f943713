#include "kernels/runtime/runner.h"

#include <fstream>

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::runtime;

namespace {

std::filesystem::path library_of(const std::string& kernel) {
  for (const auto& variant : test::built_variants())
    if (!variant.cuda && variant.kernel == kernel) return variant.library;
  FAIL(kernel + " is not built");
  return {};
}

struct Matrix {
  std::vector<float> values;
  Tensor tensor;
  Matrix(std::int64_t rows, std::int64_t cols, float value)
      : values(static_cast<std::size_t>(rows * cols), value),
        tensor(values.data(), DType::float32, Layout::dense({rows, cols}), DeviceKind::cpu, 0) {}
};

}  // namespace

TEST_CASE("runner: a schema is read with aliases, defaults, lists and keyword-only arguments", "[runtime]") {
  const auto plain = parse_schema("_activation_1::silu_and_mul(Tensor($0! -> ) out, Tensor x) -> ()");
  REQUIRE(plain);
  CHECK(plain->arguments == std::vector<std::string>{"Tensor($0! -> )", "Tensor"});
  CHECK(plain->result == "()");
  const auto rich = parse_schema(
      "ns::f(Tensor(a!) self, int[2] pads=[0, 1], float? eps=None, str mode=\"a, (b\", *, bool fast=False, "
      "SymInt n, Tensor?[] more) -> (Tensor, int)");
  REQUIRE(rich);
  CHECK(rich->arguments ==
        std::vector<std::string>{"Tensor(a!)", "int[2]", "float?", "str", "bool", "SymInt", "Tensor?[]"});
  CHECK(rich->result == "(Tensor, int)");
  const auto none = parse_schema("ns::f() -> int");
  REQUIRE(none);
  CHECK(none->arguments.empty());
}

TEST_CASE("runner: what is no schema is refused", "[runtime]") {
  for (const char* text : {"", "ns::f", "ns::f(", "ns::f(Tensor x", "ns::f(Tensor x)",
                           "ns::f(Tensor x) Tensor", "ns::f(Tensor) -> ()", "ns::f((((", ")->("}) {
    CAPTURE(text);
    const auto schema = parse_schema(text);
    REQUIRE_FALSE(schema);
    CHECK(schema.error().code() == Errc::corrupt);
  }
}

TEST_CASE("runner: the symbols of a library say how it is called, before anything of it runs", "[runtime]") {
  CHECK(abi_of(library_of("activation")) == Abi::tvm_ffi);
  CHECK(abi_of(KERNELS_TEST_TORCH_LIKE) == Abi::torch);
  const auto neither = abi_of(test::provider_path());
  REQUIRE_FALSE(neither);
  CHECK(neither.error().code() == Errc::unsupported);
  CHECK(neither.error().text().find("neither exports functions of tvm-ffi") != std::string::npos);
  const test::TempFolder folder;
  std::ofstream(folder.path() / "text.so") << "not a library";
  CHECK_FALSE(abi_of(folder.path() / "text.so"));
  CHECK_FALSE(abi_of(folder.path() / "missing.so"));
}

TEST_CASE("runner: a bound call can be made again and again, and numbers fit the signature", "[runtime]") {
  auto runner = open_tvm_ffi_runner(library_of("rmsnorm"), test::provider_path());
  REQUIRE(runner);
  const Matrix x(2, 4, 2.0F);
  Matrix out(2, 4, 0.0F);
  std::vector<float> ones(4, 1.0F);
  const Tensor weight(ones.data(), DType::float32, Layout::dense({4}), DeviceKind::cpu, 0);
  // A whole number where the function wants a float.
  const std::vector<Value> arguments = {&out.tensor, &x.tensor, &weight, std::int64_t{0}};
  auto call = (*runner)->bind("rms_norm", arguments);
  REQUIRE(call);
  for (int i = 0; i < 3; ++i) {
    std::ranges::fill(out.values, 0.0F);
    REQUIRE((**call)());
    for (float value : out.values)
      CHECK(value == test::Approx(1.0));
  }
}

TEST_CASE("runner: too few arguments and unknown functions are refused before the call", "[runtime]") {
  auto runner = open_tvm_ffi_runner(library_of("rmsnorm"), test::provider_path());
  REQUIRE(runner);
  const auto few = (*runner)->bind("rms_norm", {});
  REQUIRE_FALSE(few);
  CHECK(few.error().code() == Errc::invalid_argument);
  const auto unknown = (*runner)->bind("no_such", {});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code() == Errc::not_found);
  const auto called = (*runner)->call("no_such", {});
  REQUIRE_FALSE(called);
  CHECK(called.error().kind == "AttributeError");
}

TEST_CASE("runner: a folder without libtorch, and a libtorch that lacks a function, are named", "[runtime]") {
  const test::TempFolder folder;
  const TorchRunnerOptions options{.library = KERNELS_TEST_TORCH_LIKE,
                                   .torch_lib = folder.path(),
                                   .python_stub = {},
                                   .device = DeviceKind::cpu};
  const auto none = open_torch_runner(options);
  REQUIRE_FALSE(none);
  CHECK(none.error().code() == Errc::not_found);
  CHECK(none.error().text().find("libtorch_cpu.so") != std::string::npos);
  std::filesystem::copy(test::provider_path(), folder.path() / "libtorch_cpu.so");
  const auto old = open_torch_runner(options);
  REQUIRE_FALSE(old);
  CHECK(old.error().code() == Errc::unsupported);
  CHECK(old.error().text().find("`aoti_torch_abi_version`") != std::string::npos);
}
