#pragma once

#include <cstdint>

#include "activation/activation.h"
#include "common/vector.cuh"

namespace kernels::activation {

template <Activation kActivation>
__device__ float apply(float v) {
  if constexpr (kActivation == Activation::silu) {
    return v / (1.0F + __expf(-v));
  } else if constexpr (kActivation == Activation::gelu) {
    return 0.5F * v * (1.0F + erff(v * 0.70710678F));
  } else {
    const float inner = 1.59576912F * (v + 0.044715F * v * v * v);
    return v / (1.0F + __expf(-inner));
  }
}

/// One thread, one vector of each operand: the plainest shape is also the fastest for a stream of this kind.
/// blockIdx.x counts rows, blockIdx.y pieces of a row; both stride, so any size is covered.
template <Activation kActivation, class T, int kWidth>
__global__ void gated(T* __restrict__ out, const T* __restrict__ x, std::int64_t rows, std::int64_t cols,
                      std::int64_t out_stride, std::int64_t x_stride) {
  using Vec = common::Vector<T, kWidth>;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * blockDim.x * kWidth;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kWidth;
  for (std::int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    for (std::int64_t c = first; c < cols; c += step) {
      const Vec gate = *reinterpret_cast<const Vec*>(x + r * x_stride + c);
      const Vec up = *reinterpret_cast<const Vec*>(x + r * x_stride + cols + c);
      Vec result;
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        common::store(result.values[i],
                      apply<kActivation>(common::load(gate.values[i])) * common::load(up.values[i]));
      *reinterpret_cast<Vec*>(out + r * out_stride + c) = result;
    }
  }
}

}  // namespace kernels::activation
