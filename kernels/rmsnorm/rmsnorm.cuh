#pragma once

#include <cstdint>

#include "common/held.cuh"
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

template <class T>
__device__ float squares(const float (&s)[common::kPerVector<T>], float sum) {
#pragma unroll
  for (int i = 0; i < common::kPerVector<T>; ++i)
    sum = fmaf(s[i], s[i], sum);
  return sum;
}

/// One block per row, which stays in registers as it was read, so memory is read once. With `kEarly` the
/// weights are read before the row: that hides their latency where few blocks run, and costs registers where
/// many do. Needs rows aligned to 16 bytes, cols <= kHeld * blockDim.x * 16 / sizeof(T) and a block for each
/// row.
template <class T, int kHeld, bool kEarly>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) norm_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  __shared__ float scratch[32];
  const auto vectors = static_cast<unsigned>(o.cols / kWidth);
  const auto* weight = reinterpret_cast<const uint4*>(o.weight);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  const auto* x = reinterpret_cast<const uint4*>(o.x + r * o.x_stride);
  uint4 held[kHeld];
  uint4 weights[kHeld];
  if constexpr (kEarly) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
      weights[k] = common::vector_of(k) < vectors ? weight[common::vector_of(k)] : uint4{0, 0, 0, 0};
  }
  common::wait_for_previous();
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    held[k] = common::vector_of(k) < vectors ? x[common::vector_of(k)] : uint4{0, 0, 0, 0};
  common::let_next_start();
  float sum = 0.0F;
  float s[kWidth];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    common::unpack<T>(held[k], s);
    sum = squares<T>(s, sum);
  }
  const float mean = common::block_sum(sum, scratch) / static_cast<float>(o.cols);
  const float scale = rsqrtf(mean + o.eps);
  auto* out = reinterpret_cast<uint4*>(o.out + r * o.out_stride);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (common::vector_of(k) >= vectors) continue;
    if constexpr (!kEarly) weights[k] = weight[common::vector_of(k)];
    float w[kWidth];
    common::unpack<T>(held[k], s);
    common::unpack<T>(weights[k], w);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[i] = s[i] * scale * w[i];
    out[common::vector_of(k)] = common::pack<T>(s);
  }
}

/// The fused form: the sum of the row and its residual is kept in float32, as it was before it was rounded.
template <class T, int kHeld>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) fused_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  __shared__ float scratch[32];
  const auto vectors = static_cast<unsigned>(o.cols / kWidth);
  const auto* weight = reinterpret_cast<const uint4*>(o.weight);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  const auto* x = reinterpret_cast<const uint4*>(o.x + r * o.x_stride);
  auto* residual = reinterpret_cast<uint4*>(o.residual + r * o.residual_stride);
  uint4 in[kHeld];
  uint4 added[kHeld];
  uint4 weights[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (common::vector_of(k) < vectors) weights[k] = weight[common::vector_of(k)];
  common::wait_for_previous();
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (common::vector_of(k) < vectors) {
      in[k] = x[common::vector_of(k)];
      added[k] = residual[common::vector_of(k)];
    }
  common::let_next_start();
  float s[kHeld][kWidth];
  float sum = 0.0F;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (common::vector_of(k) >= vectors) continue;
    float more[kWidth];
    common::unpack<T>(in[k], s[k]);
    common::unpack<T>(added[k], more);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[k][i] += more[i];
    sum = squares<T>(s[k], sum);
    residual[common::vector_of(k)] = common::pack<T>(s[k]);
  }
  const float mean = common::block_sum(sum, scratch) / static_cast<float>(o.cols);
  const float scale = rsqrtf(mean + o.eps);
  auto* out = reinterpret_cast<uint4*>(o.out + r * o.out_stride);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (common::vector_of(k) >= vectors) continue;
    float w[kWidth];
    common::unpack<T>(weights[k], w);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[k][i] = s[k][i] * scale * w[i];
    out[common::vector_of(k)] = common::pack<T>(s[k]);
  }
}

/// One block per row of any length and alignment; the row is read a second time, mostly from the cache.
template <bool kFused, class T>
__global__ void __launch_bounds__(1024) norm_any(const Typed<T> o) {
  __shared__ float scratch[32];
  common::wait_for_previous();
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    float sum = 0.0F;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      float s = common::load(o.x[r * o.x_stride + c]);
      if constexpr (kFused) {
        T& residual = o.residual[r * o.residual_stride + c];
        s += common::load(residual);
        common::store(residual, s);
      }
      sum += s * s;
    }
    const float mean = common::block_sum(sum, scratch) / static_cast<float>(o.cols);
    const float scale = rsqrtf(mean + o.eps);
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const T* source = kFused ? o.residual + r * o.residual_stride + c : o.x + r * o.x_stride + c;
      common::store(o.out[r * o.out_stride + c], common::load(*source) * scale * common::load(o.weight[c]));
    }
    __syncthreads();
  }
}

}  // namespace kernels::rmsnorm
