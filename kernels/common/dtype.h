#pragma once

#include <bit>
#include <cstdint>

// Element types of the kernels and their conversion on the host: float32, float16, bfloat16, and float64 for
// references. Rounding is to nearest, ties to even, as the hardware does it. Always inlined: see processor.h.

namespace kernels::common {

enum class ElementType : std::uint8_t { float32, float16, bfloat16, float64, unknown };

constexpr std::int64_t size_of(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 8;
    case ElementType::float32:
      return 4;
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

}  // namespace kernels::common
