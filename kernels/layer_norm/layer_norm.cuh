#pragma once

#include <cstdint>

#include "common/held.cuh"
#include "common/vector.cuh"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm {

/// Operands with their type; strides in elements.
template <class T>
struct Typed {
  T* out;
  const T* x;
  const T* weight;
  const T* bias;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  float eps;
};

/// Mean, and the sum of squared distances from it.
struct Moments {
  float mean;
  float squares;
};

/// Vectors of a row that the threads of one warp hold together.
template <int kHeld>
__device__ unsigned vectors_of_warp(unsigned warp, unsigned vectors) {
  unsigned count = 0;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const unsigned first = static_cast<unsigned>(k) * blockDim.x + 32 * warp;
    count += first >= vectors ? 0 : min(vectors - first, 32U);
  }
  return count;
}

/// The moments of what a warp holds: the mean first, then the distances from it, both from registers.
template <class T, int kHeld>
__device__ Moments warp_moments(const uint4 (&held)[kHeld], unsigned vectors) {
  constexpr int kWidth = common::kPerVector<T>;
  const unsigned count = kWidth * vectors_of_warp<kHeld>(threadIdx.x / 32, vectors);
  float s[kWidth];
  float sum = 0.0F;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    common::unpack<T>(held[k], s);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      sum += s[i];
  }
  const float mean = count == 0 ? 0.0F : common::warp_sum(sum) / static_cast<float>(count);
  float squares = 0.0F;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (common::vector_of(k) >= vectors) continue;
    common::unpack<T>(held[k], s);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      squares = fmaf(s[i] - mean, s[i] - mean, squares);
  }
  return {mean, common::warp_sum(squares)};
}

/// Mean and variance of the row from the moments of its warps (Chan, Golub & LeVeque 1979): nothing cancels,
/// however far the mean is from 0, and there is one barrier where mean and variance one after the other need
/// two.
template <class T, int kHeld>
__device__ float2 mean_and_variance(const Moments& own, unsigned vectors, Moments* scratch) {
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) scratch[threadIdx.x / 32] = own;
  __syncthreads();
  const bool used = lane < blockDim.x / 32;
  const Moments part = used ? scratch[lane] : Moments{0.0F, 0.0F};
  const float all = static_cast<float>(vectors);
  const float share = used ? static_cast<float>(vectors_of_warp<kHeld>(lane, vectors)) / all : 0.0F;
  const float mean = common::warp_sum(share * part.mean);
  const float apart = part.mean - mean;
  const float elements = all * common::kPerVector<T>;
  return {mean, common::warp_sum(part.squares / elements + share * apart * apart)};
}

/// One block per row, which stays in registers as it was read, so memory is read once. With `kEarly` weight
/// and bias are read before the row: that hides their latency where few blocks run, and costs registers where
/// many do. Needs rows aligned to 16 bytes, cols <= kHeld * blockDim.x * 16 / sizeof(T) and a block for each
/// row.
template <class T, int kHeld, bool kBias, bool kEarly>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) norm_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  __shared__ Moments scratch[32];
  const auto vectors = static_cast<unsigned>(o.cols / kWidth);
  const auto* weight = reinterpret_cast<const uint4*>(o.weight);
  const auto* bias = reinterpret_cast<const uint4*>(o.bias);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  const auto* x = reinterpret_cast<const uint4*>(o.x + r * o.x_stride);
  uint4 held[kHeld];
  uint4 weights[kHeld];
  uint4 biases[kHeld];
  if constexpr (kEarly) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (common::vector_of(k) >= vectors) continue;
      weights[k] = weight[common::vector_of(k)];
      if constexpr (kBias) biases[k] = bias[common::vector_of(k)];
    }
  }
  common::wait_for_previous();
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    held[k] = common::vector_of(k) < vectors ? x[common::vector_of(k)] : uint4{0, 0, 0, 0};
  common::let_next_start();
  const Moments own = warp_moments<T, kHeld>(held, vectors);
  const float2 moments = mean_and_variance<T, kHeld>(own, vectors, scratch);
  const float scale = rsqrtf(moments.y + o.eps);
  auto* out = reinterpret_cast<uint4*>(o.out + r * o.out_stride);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (common::vector_of(k) >= vectors) continue;
    if constexpr (!kEarly) {
      weights[k] = weight[common::vector_of(k)];
      if constexpr (kBias) biases[k] = bias[common::vector_of(k)];
    }
    float s[kWidth];
    float w[kWidth];
    float b[kWidth] = {};
    common::unpack<T>(held[k], s);
    common::unpack<T>(weights[k], w);
    if constexpr (kBias) common::unpack<T>(biases[k], b);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[i] = fmaf((s[i] - moments.x) * scale, w[i], b[i]);
    out[common::vector_of(k)] = common::pack<T>(s);
  }
}

/// One block per row of any length and alignment; the row is read three times, mostly from the cache.
template <class T>
__global__ void __launch_bounds__(1024) norm_any(const Typed<T> o) {
  __shared__ float sums[32];
  __shared__ float squares[32];
  common::wait_for_previous();
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const T* x = o.x + r * o.x_stride;
    float sum = 0.0F;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x)
      sum += common::load(x[c]);
    const float mean = common::block_sum(sum, sums) / static_cast<float>(o.cols);
    float apart = 0.0F;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const float d = common::load(x[c]) - mean;
      apart = fmaf(d, d, apart);
    }
    const float variance = common::block_sum(apart, squares) / static_cast<float>(o.cols);
    const float scale = rsqrtf(variance + o.eps);
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const float b = o.bias == nullptr ? 0.0F : common::load(o.bias[c]);
      const float w = common::load(o.weight[c]);
      common::store(o.out[r * o.out_stride + c], fmaf((common::load(x[c]) - mean) * scale, w, b));
    }
    __syncthreads();
  }
  common::let_next_start();
}

}  // namespace kernels::layer_norm
