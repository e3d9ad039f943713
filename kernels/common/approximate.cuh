#pragma once

#include <cmath>

// Single instructions of the GPU: one or two units in the last place from the right result, subnormals taken
// for 0.

namespace kernels::common {

__device__ inline float approximate_reciprocal(float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
#else
  return 1.0F / value;
#endif
}

/// 1 / sqrt(value).
__device__ inline float approximate_rsqrt(float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
#else
  return 1.0F / std::sqrt(value);
#endif
}

/// 2 to the power of `value`.
__device__ inline float approximate_exp2(float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
#else
  return std::exp2(value);
#endif
}

}  // namespace kernels::common
