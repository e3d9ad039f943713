#pragma once

#include <cstdint>

#include "activation/activation.h"
#include "common/vector.cuh"

namespace kernels::activation {

template <Activation kActivation>
__device__ float apply(float v) {
  if constexpr (kActivation == Activation::silu) {
    return __fdividef(v, 1.0F + __expf(-v));
  } else if constexpr (kActivation == Activation::gelu) {
    return 0.5F * v * (1.0F + erff(v * 0.70710678F));
  } else {
    const float inner = 1.59576912F * (v + 0.044715F * v * v * v);
    return __fdividef(v, 1.0F + __expf(-inner));
  }
}

/// One thread, one vector of each operand: the plainest shape is also the fastest for a stream of this kind.
/// blockIdx.x counts pieces of a row, so that blocks that run together read what lies together; blockIdx.y
/// counts rows and strides. Needs rows aligned to 16 bytes and less than 2^31 vectors in one.
template <Activation kActivation, class T>
__global__ void __launch_bounds__(1024)
    gated(T* __restrict__ out, const T* __restrict__ x, std::int64_t rows, std::int64_t cols,
          std::int64_t out_stride, std::int64_t x_stride) {
  constexpr int kWidth = common::kPerVector<T>;
  const unsigned c = blockIdx.x * blockDim.x + threadIdx.x;
  const auto vectors = static_cast<unsigned>(cols / kWidth);
  if (c >= vectors) return;
  for (std::int64_t r = blockIdx.y; r < rows; r += gridDim.y) {
    const auto* in = reinterpret_cast<const uint4*>(x + r * x_stride) + c;
    const uint4 gates = in[0];
    const uint4 ups = in[vectors];
    float gate[kWidth];
    float up[kWidth];
    common::unpack<T>(gates, gate);
    common::unpack<T>(ups, up);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      gate[i] = apply<kActivation>(gate[i]) * up[i];
    reinterpret_cast<uint4*>(out + r * out_stride)[c] = common::pack<T>(gate);
  }
}

/// The same element by element, for any alignment and size.
template <Activation kActivation, class T>
__global__ void __launch_bounds__(128)
    gated_any(T* __restrict__ out, const T* __restrict__ x, std::int64_t rows, std::int64_t cols,
              std::int64_t out_stride, std::int64_t x_stride) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t r = blockIdx.y; r < rows; r += gridDim.y)
    for (std::int64_t c = first; c < cols; c += step) {
      const float gate = common::load(x[r * x_stride + c]);
      const float up = common::load(x[r * x_stride + cols + c]);
      common::store(out[r * out_stride + c], apply<kActivation>(gate) * up);
    }
}

}  // namespace kernels::activation
