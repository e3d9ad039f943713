#include <array>
#include <bit>
#include <cmath>

#include "kernels/runtime/library.h"

#include "built_library.h"
#include "common/dtype.h"
#include "support/catch.h"

// What the generic drivers cannot see of float8: the conversion bit by bit, and the values that random inputs
// never hold.

using namespace kernels;
using runtime::DeviceKind;
using runtime::DType;
using runtime::Layout;
using runtime::Tensor;
using runtime::Value;

namespace {

std::uint8_t converted(float value) {
  common::Float8 out{};
  common::from_float(value, out);
  return out.bits;
}

/// The same by another way, over float64.
std::uint8_t expected(float value) {
  std::uint8_t out = 0;
  runtime::store_element(&out, DType::float8_e4m3fn, 0, static_cast<double>(value));
  return out;
}

/// Quantises one row of four.
struct Quantised {
  std::array<std::uint8_t, 4> codes{};
  float scale = 0;
};

Quantised quantised(const runtime::KernelLibrary& library, std::array<float, 4> row) {
  Quantised out;
  const Tensor codes(out.codes.data(), DType::float8_e4m3fn, Layout::dense({1, 4}), DeviceKind::cpu, 0);
  const Tensor scale(&out.scale, DType::float32, Layout::dense({1, 1}), DeviceKind::cpu, 0);
  const Tensor x(row.data(), DType::float32, Layout::dense({1, 4}), DeviceKind::cpu, 0);
  const std::array<Value, 3> arguments = {&codes, &scale, &x};
  const auto called = library.call("quantize_fp8_per_token", arguments);
  if (!called) FAIL(called.error().message);
  return out;
}

}  // namespace

TEST_CASE("float8: every float32 around every boundary is rounded as float64 is", "[kernels]") {
  // Boundaries between codes and the middles between them have at most four bits behind the first one, so the
  // last 19 bits of their float32 are zero.
  for (std::uint32_t high = 0; high < (1U << 13); ++high)
    for (std::int64_t near = -3; near <= 3; ++near) {
      const auto bits = static_cast<std::uint32_t>((std::int64_t{high} << 19) + near);
      const auto value = std::bit_cast<float>(bits);
      if (converted(value) != expected(value))
        FAIL("0x" << std::hex << bits << " became 0x" << int{converted(value)} << ", not 0x"
                  << int{expected(value)});
    }
}

TEST_CASE("float8: every code survives the way to float32 and back", "[kernels]") {
  for (unsigned code = 0; code < 256; ++code) {
    const common::Float8 before{static_cast<std::uint8_t>(code)};
    const float value = common::to_float(before);
    const bool is_nan = (code & 0x7f) == 0x7f;
    CAPTURE(code);
    CHECK(std::isnan(value) == is_nan);
    CHECK(converted(value) == (is_nan ? 0x7f : code));
    if (!is_nan) CHECK(static_cast<double>(value) == runtime::load_element(&before, DType::float8_e4m3fn, 0));
  }
}

TEST_CASE("quantize_fp8: the largest value becomes 448, ties go to even, signs are kept", "[kernels]") {
  const auto library = test::open_cpu_library("quantize-fp8");
  // 448 / 448 = 1: codes are those of the values; 17 and 19 lie between 16, 18 and 20.
  const auto exact = quantised(library, {448, -17, 19, -0.0F});
  CHECK(exact.scale == 1.0F);
  CHECK(exact.codes == std::array<std::uint8_t, 4>{0x7e, 0xd8, 0x5a, 0x80});
  const auto negative = quantised(library, {1, 0, -896, 448});
  CHECK(negative.scale == 2.0F);
  CHECK(negative.codes == std::array<std::uint8_t, 4>{0x30, 0, 0xfe, 0x76});
}

TEST_CASE("quantize_fp8: rows of zeros and of tiny values have the smallest scale", "[kernels]") {
  const auto library = test::open_cpu_library("quantize-fp8");
  const float least = 1.0F / (448.0F * 512.0F);
  const auto zeros = quantised(library, {0, 0, 0, 0});
  CHECK(zeros.scale == least);
  CHECK(zeros.codes == std::array<std::uint8_t, 4>{});
  const auto tiny = quantised(library, {least, -2 * least, 1e-30F, 0});
  CHECK(tiny.scale == least);
  CHECK(tiny.codes == std::array<std::uint8_t, 4>{0x38, 0xc0, 0, 0});
}

TEST_CASE("quantize_fp8: NaN stays where it is, an infinity takes its row", "[kernels]") {
  const auto library = test::open_cpu_library("quantize-fp8");
  const auto nan = quantised(library, {448, std::nanf(""), 2, -1});
  CHECK(nan.scale == 1.0F);
  CHECK(nan.codes == std::array<std::uint8_t, 4>{0x7e, 0x7f, 0x40, 0xb8});
  const auto infinite = quantised(library, {1, -HUGE_VALF, 2, -3});
  CHECK(infinite.scale == HUGE_VALF);
  CHECK(infinite.codes == std::array<std::uint8_t, 4>{0, 0x7f, 0, 0x80});
  const auto only_nan = quantised(library, {std::nanf(""), 0, 0, 0});
  CHECK(only_nan.scale == 1.0F / (448.0F * 512.0F));
  CHECK(only_nan.codes == std::array<std::uint8_t, 4>{0x7f, 0, 0, 0});
}

TEST_CASE("quantize_fp8: a row whose values span the range of float32 is divided without overflow",
          "[kernels]") {
  const auto library = test::open_cpu_library("quantize-fp8");
  const auto wide = quantised(library, {3e38F, -3e38F, 1e38F, 1});
  CHECK(wide.scale == kernels::test::Approx(3e38F / 448));
  CHECK(wide.codes[0] == 0x7e);
  CHECK(wide.codes[1] == 0xfe);
  CHECK(wide.codes[3] == 0);
}

TEST_CASE("quantize_fp8: the references agree with numbers computed by hand", "[kernels]") {
  const auto library = test::open_cpu_library("quantize-fp8");
  std::array<double, 2> x = {3, -4};
  std::array<double, 2> residual = {1, 7};
  std::array<double, 2> weight = {2, -0.5};
  std::array<double, 2> out{};
  double scale = 0;
  const auto matrix = [](auto& values) {
    return Tensor(values.data(), DType::float64, Layout::dense({1, 2}), DeviceKind::cpu, 0);
  };
  const Tensor xs = matrix(x);
  const Tensor rs = matrix(residual);
  const Tensor ys = matrix(out);
  const Tensor ws(weight.data(), DType::float64, Layout::dense({2}), DeviceKind::cpu, 0);
  const Tensor ss(&scale, DType::float64, Layout::dense({1}), DeviceKind::cpu, 0);
  const std::array<Value, 3> plain = {&ys, &ss, &xs};
  REQUIRE(library.call("quantize_fp8_per_token_reference", plain));
  CHECK(scale == kernels::test::Approx(4.0 / 448));
  CHECK(out[0] == kernels::test::Approx(336.0));
  CHECK(out[1] == kernels::test::Approx(-448.0));
  // The mean of 9 and 16 is 12.5.
  const std::array<Value, 5> norm = {&ys, &ss, &xs, &ws, 0.0};
  REQUIRE(library.call("rms_norm_quantize_fp8_reference", norm));
  CHECK(scale == kernels::test::Approx(6.0 / std::sqrt(12.5) / 448));
  CHECK(out[0] == kernels::test::Approx(448.0));
  CHECK(out[1] == kernels::test::Approx(2.0 / 6.0 * 448));
  // 4 and 3: the same mean.
  const std::array<Value, 6> fused = {&ys, &ss, &xs, &rs, &ws, 0.0};
  REQUIRE(library.call("fused_add_rms_norm_quantize_fp8_reference", fused));
  CHECK(residual == std::array<double, 2>{4, 3});
  CHECK(scale == kernels::test::Approx(8.0 / std::sqrt(12.5) / 448));
  CHECK(out[1] == kernels::test::Approx(-1.5 / 8.0 * 448));
}
