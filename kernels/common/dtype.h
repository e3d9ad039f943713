#pragma once

#include <bit>
#include <cstdint>

// Element types of the kernels and their conversion on the host: float32, float16, bfloat16, float64 for
// references, float8_e4m3 for quantised values, and whole numbers for places. Rounding is to nearest, ties to
// even, as the hardware does it. Always inlined: see processor.h.

namespace kernels::common {

enum class ElementType : std::uint8_t {
  float32,
  float16,
  bfloat16,
  float64,
  float8_e4m3,
  int32,
  int64,
  unknown
};

constexpr std::int64_t size_of(ElementType type) {
  switch (type) {
    case ElementType::float64:
    case ElementType::int64:
      return 8;
    case ElementType::float32:
    case ElementType::int32:
      return 4;
    case ElementType::float8_e4m3:
      return 1;
    default:
      return 2;
  }
}

/// The 16 bits of an IEEE half, and of a bfloat16: distinct types, so that templates choose the conversion.
struct Half {
  std::uint16_t bits;
};
struct Bfloat16 {
  std::uint16_t bits;
};
/// Sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinities, NaN is 0x7f or 0xff, the largest
/// number 448. Source  Micikevicius et al. 2022, arXiv:2209.05433, table 1.
struct Float8 {
  std::uint8_t bits;
};

[[gnu::always_inline]] inline float to_float(float value) {
  return value;
}
[[gnu::always_inline]] inline float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
/// Branch-free so that loops over it vectorise: the exponent is moved by a multiplication, which also makes
/// subnormal halves normal; infinities and NaN get the missing exponent bits.
[[gnu::always_inline]] inline float to_float(Half value) {
  const std::uint32_t magnitude = (value.bits & 0x7fffU) << 13;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  const std::uint32_t special = magnitude >= (0x7c00U << 13) ? 0x7f800000U : 0U;
  const std::uint32_t sign = (value.bits & 0x8000U) << 16;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}

[[gnu::always_inline]] inline void from_float(float value, float& out) {
  out = value;
}
[[gnu::always_inline]] inline void from_float(float value, Bfloat16& out) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  out.bits = static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40U : rounded);
}
/// All three cases are computed and one is selected, so that loops over it vectorise.
[[gnu::always_inline]] inline void from_float(float value, Half& out) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  // Rounding may carry into the exponent and so reach infinity, which is right.
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  const std::uint32_t normal = (magnitude - 0x38000000U + 0xfffU + odd) >> 13;
  // One unit in the last place of 0.5 is the smallest half: the addition rounds to a subnormal half.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U;
  const std::uint32_t special = magnitude > 0x7f800000U ? 0x7e00U : 0x7c00U;
  const std::uint32_t small = magnitude < 0x38800000U ? subnormal : normal;
  const std::uint32_t half = magnitude >= 0x47800000U ? special : small;
  out.bits = static_cast<std::uint16_t>(half | sign);
}

/// What is too large becomes the largest number and NaN becomes 0x7f, as cvt.rn.satfinite.e4m3x2.f32 does it.
/// Signed numbers, so that the comparisons are vector instructions of every processor.
[[gnu::always_inline]] inline void from_float(float value, Float8& out) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto magnitude = static_cast<std::int32_t>(bits & 0x7fffffffU);
  const std::int32_t odd = (magnitude >> 20) & 1;
  const std::int32_t normal = (magnitude - 0x3c000000 + 0x7ffff + odd) >> 20;
  // One unit in the last place of 2^14 is the smallest subnormal, 2^-9.
  const float shifted = std::bit_cast<float>(magnitude) + 0x1p14F;
  const std::int32_t subnormal = std::bit_cast<std::int32_t>(shifted) - 0x46800000;
  const std::int32_t any = magnitude < 0x3c800000 ? subnormal : normal;
  const std::int32_t finite = (any > 0x7e ? 0x7e : any) | static_cast<std::int32_t>((bits >> 24) & 0x80U);
  out.bits = static_cast<std::uint8_t>(magnitude > 0x7f800000 ? 0x7f : finite);
}
[[gnu::always_inline]] inline float to_float(Float8 value) {
  const std::uint32_t magnitude = (value.bits & 0x7fU) << 20;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p120F;
  const std::uint32_t special = magnitude == (0x7fU << 20) ? 0x7fc00000U : 0U;
  const std::uint32_t sign = (value.bits & 0x80U) << 24;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}

}  // namespace kernels::common
