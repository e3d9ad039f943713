#pragma once

#include <cuda_fp8.h>

// Device-side conversion of float32 to float8_e4m3, rounded to nearest even and saturated.

namespace kernels::common {

/// In integer arithmetic, for devices without an instruction for it (before 8.9): the same bits, see
/// dtype.h.
__device__ inline unsigned e4m3_bits(float value) {
  const unsigned bits = __float_as_uint(value);
  const unsigned magnitude = bits & 0x7fffffffU;
  const unsigned normal = (magnitude - 0x3c000000U + 0x7ffffU + ((magnitude >> 20) & 1U)) >> 20;
  const unsigned subnormal = __float_as_uint(__uint_as_float(magnitude) + 16384.0F) - 0x46800000U;
  const unsigned any = magnitude < 0x3c800000U ? subnormal : normal;
  const unsigned finite = (any < 0x7eU ? any : 0x7eU) | ((bits >> 24) & 0x80U);
  return magnitude > 0x7f800000U ? 0x7fU : finite;
}

/// Two values; the first is in the low byte.
__device__ inline unsigned e4m3_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 890
  return e4m3_bits(first) | (e4m3_bits(second) << 8);
#else
  return __nv_cvt_float2_to_fp8x2(float2{first, second}, __NV_SATFINITE, __NV_E4M3);
#endif
}

/// Eight values, in the order of memory.
__device__ inline uint2 e4m3_pack(const float (&in)[8]) {
  return {e4m3_pair(in[0], in[1]) | (e4m3_pair(in[2], in[3]) << 16),
          e4m3_pair(in[4], in[5]) | (e4m3_pair(in[6], in[7]) << 16)};
}

}  // namespace kernels::common
