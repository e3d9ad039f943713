#pragma once

#include <cstdint>

#include "common/vector.cuh"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm {

/// Operands with their type; strides in elements.
template <class T>
struct Typed {
  T* out;
  const T* x;
  T* residual;
  const T* weight;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  float eps;
};

/// s for one vector of one row, in float32; the fused form also stores it to the residual.
template <bool kFused, class T, int kWidth>
__device__ void load_sum(const Typed<T>& o, std::int64_t r, std::int64_t c, float (&s)[kWidth]) {
  using Vec = common::Vector<T, kWidth>;
  const Vec x = *reinterpret_cast<const Vec*>(o.x + r * o.x_stride + c);
#pragma unroll
  for (int i = 0; i < kWidth; ++i)
    s[i] = common::load(x.values[i]);
  if constexpr (kFused) {
    auto* place = reinterpret_cast<Vec*>(o.residual + r * o.residual_stride + c);
    Vec residual = *place;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      s[i] += common::load(residual.values[i]);
      common::store(residual.values[i], s[i]);
    }
    *place = residual;
  }
}

template <class T, int kWidth>
__device__ void store_scaled(const Typed<T>& o, std::int64_t r, std::int64_t c, const float (&s)[kWidth],
                             float scale) {
  using Vec = common::Vector<T, kWidth>;
  const Vec weight = *reinterpret_cast<const Vec*>(o.weight + c);
  Vec result;
#pragma unroll
  for (int i = 0; i < kWidth; ++i)
    common::store(result.values[i], s[i] * scale * common::load(weight.values[i]));
  *reinterpret_cast<Vec*>(o.out + r * o.out_stride + c) = result;
}

template <int kWidth>
__device__ float squares(const float (&s)[kWidth]) {
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kWidth; ++i)
    sum += s[i] * s[i];
  return sum;
}

/// One block per row, which it keeps in registers: each thread holds `kHeld` vectors, so memory is read once.
/// Needs cols <= kHeld * blockDim.x * kWidth.
template <bool kFused, class T, int kWidth, int kHeld>
__global__ void norm_held(const Typed<T> o) {
  __shared__ float scratch[32];
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    float s[kHeld][kWidth];
    float sum = 0.0F;
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * kWidth;
      if (c >= o.cols) continue;
      load_sum<kFused>(o, r, c, s[k]);
      sum += squares(s[k]);
    }
    const float mean = common::block_sum(sum, scratch) / static_cast<float>(o.cols);
    const float scale = rsqrtf(mean + o.eps);
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      const std::int64_t c = (static_cast<std::int64_t>(k) * blockDim.x + threadIdx.x) * kWidth;
      if (c < o.cols) store_scaled(o, r, c, s[k], scale);
    }
    __syncthreads();
  }
}

/// One block per row of any length and alignment; the row is read a second time, mostly from the cache.
template <bool kFused, class T>
__global__ void norm_any(const Typed<T> o) {
  __shared__ float scratch[32];
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    float sum = 0.0F;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      float s[1];
      load_sum<kFused>(o, r, c, s);
      sum += s[0] * s[0];
    }
    const float mean = common::block_sum(sum, scratch) / static_cast<float>(o.cols);
    const float scale = rsqrtf(mean + o.eps);
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const T* source = kFused ? o.residual + r * o.residual_stride + c : o.x + r * o.x_stride + c;
      const float s[1] = {common::load(*source)};
      store_scaled(o, r, c, s, scale);
    }
    __syncthreads();
  }
}

}  // namespace kernels::rmsnorm
