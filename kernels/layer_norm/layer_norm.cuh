#pragma once

#include <cstdint>
#include <type_traits>

#include "common/approximate.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm {

/// Operands with their type; strides in elements. In the order in which kernels need them: the first read of
/// a part of the parameters is waited for.
template <class T>
struct Typed {
  const T* x;
  const T* weight;
  const T* bias;
  // In vectors of 16 bytes; unused where rows are not made of such.
  unsigned x_step;
  unsigned vectors;
  float per_col;  ///< 1 / cols
  float eps;
  T* out;
  unsigned out_step;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
};

/// What a thread finds in its part of a row: sums of the distances from a point, and of their squares.
template <int kSums>
struct Distances {
  float sums[kSums] = {};
  float squares[kSums] = {};

  /// `are_first`: nothing has been added before. The compiler would keep the addition to zeros.
  template <int kWidth>
  __device__ void add(const float (&distances)[kWidth], bool are_first) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const float distance = distances[i];
      const bool begins = are_first && i < kSums;
      sums[i % kSums] = begins ? distance : sums[i % kSums] + distance;
      squares[i % kSums] = begins ? distance * distance : fmaf(distance, distance, squares[i % kSums]);
    }
  }
};
template <int kSums>
__device__ float sum_of(const float (&sums)[kSums]) {
  float sum = sums[0];
#pragma unroll
  for (int i = 1; i < kSums; ++i)
    sum += sums[i];
  return sum;
}

/// The mean of a vector's eight elements, most of it in the precision of their type, which takes half of the
/// instructions. Quarters have no sum that overflows, and those of equal elements have one that is exact.
template <class Pair, class T>
__device__ float mean_of_pairs(const uint4& vector) {
  const T quarter = static_cast<T>(0.25F);
  const Pair quarters{quarter, quarter};
  const auto pair = [](const unsigned& word) { return *reinterpret_cast<const Pair*>(&word); };
  const Pair low = __hadd2(__hmul2(pair(vector.x), quarters), __hmul2(pair(vector.y), quarters));
  const Pair high = __hadd2(__hmul2(pair(vector.z), quarters), __hmul2(pair(vector.w), quarters));
  const Pair sum = __hadd2(low, high);
  return (common::load(sum.x) + common::load(sum.y)) * 0.5F;
}

/// A point near the row: the mean of its first vector, about, as an element of it could be.
template <class T>
__device__ float point_of(const uint4& first) {
  if constexpr (std::is_same_v<T, __half>) return mean_of_pairs<__half2, T>(first);
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return mean_of_pairs<__nv_bfloat162, T>(first);
  float s[common::kPerVector<T>];
  common::unpack<T>(first, s);
  float sums[2] = {};
#pragma unroll
  for (int i = 0; i < common::kPerVector<T>; ++i)
    sums[i % 2] += s[i];
  return (sums[0] + sums[1]) * (1.0F / common::kPerVector<T>);
}

/// The distances of a vector's elements from a point.
template <class T>
__device__ void unpack_from(const uint4& vector, float point, float (&out)[common::kPerVector<T>]) {
  common::unpack<T>(vector, out);
#pragma unroll
  for (int i = 0; i < common::kPerVector<T>; ++i)
    out[i] -= point;
}

struct Moments {
  float away;   ///< the mean's distance from the point
  float scale;  ///< 1 / sqrt(variance + eps)
};

/// Shared memory for `moments_of`, opened ahead of it.
template <int kThreads>
struct Scratch {
  common::OfWarps<kThreads / 32> sums[2];  ///< of distances, and of their squares

  __device__ void open() {
    sums[0].open(0.0F);
    sums[1].open(0.0F);
  }
  /// Keeps what `warp_sums` returned.
  __device__ void keep(float value) {
    const unsigned lane = threadIdx.x % 32;
    if (lane % 16 == 0) sums[lane / 16].values[threadIdx.x / 32] = value;
  }
};

/// The largest of `value` and 0; NaN stays.
__device__ inline float at_least_zero(float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(result) : "f"(value));
  return result;
#else
  return value < 0.0F ? 0.0F : value;
#endif
}

/// Mean and scale of the row in all threads of a block, with one barrier: both sums travel together, because
/// the distances are from a point that needs no reduction. Of n elements in a vector and N in the row the
/// point is at most sqrt(N / n) standard deviations away from the mean (its n elements are part of the
/// variance), so the subtraction loses at most a factor N / n of float32's precision, where a row is made to
/// do so, and nothing where the first elements are like the others, wherever their mean is.
template <common::Weights kWeights, int kSums, class T, int kThreads>
__device__ Moments moments_of(const Distances<kSums>& own, const Typed<T>& o, Scratch<kThreads>& scratch) {
  scratch.keep(common::warp_sums(sum_of(own.sums) * o.per_col, sum_of(own.squares) * o.per_col));
  __syncthreads();
  const float away = common::sum_of_warps<kWeights>(scratch.sums[0]);
  const float square = common::sum_of_warps<kWeights>(scratch.sums[1]);
  return {away, common::approximate_rsqrt(at_least_zero(fmaf(-away, away, square)) + o.eps)};
}

/// Blocks that a multiprocessor has room for: of the registers that are left to each thread.
template <int kHeld, common::Weights kWeights>
inline constexpr int kRoom = kWeights != common::Weights::last && kHeld == 2
                                 ? 3
                                 : common::blocks_held<common::kLargeBlock, kWeights>(kHeld == 8   ? 64
                                                                                      : kHeld == 4 ? 40
                                                                                                   : 32);

/// One block per row, which stays in registers as it was read, so memory is read once. Needs rows aligned to
/// 16 bytes, vectors <= kHeld * blockDim.x and a block for each row.
template <class T, int kHeld, bool kBias, common::Weights kWeights, int kThreads>
__global__ void __launch_bounds__(kThreads, kThreads == common::kLargeBlock ? kRoom<kHeld, kWeights> : 1)
    norm_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  // They keep the compiler from holding several vectors as float32. Of few rows it may: there is room for
  // them, and branches would only be waited for.
  constexpr bool kBranches = kHeld > 1 && kThreads == common::kLargeBlock;
  __shared__ Scratch<kThreads> memory;
  const auto* weight = common::own_vectors(o.weight, 0);
  const uint4* bias = kBias ? common::own_vectors(o.bias, 0) : nullptr;
  uint4 held[kHeld];
  uint4 weights[kHeld];
  uint4 biases[kHeld];
  if constexpr (kWeights == common::Weights::first) {
    common::read_row(weight, o.vectors, weights);
    if constexpr (kBias) common::read_row(bias, o.vectors, biases);
  }
  common::wait_for_previous();
  // With larger blocks, of which fewer fit beside one another, the next kernel would be in the way.
  constexpr bool kSignalFirst = kWeights == common::Weights::first && kThreads == common::kSmallBlock;
  if constexpr (kSignalFirst) common::let_next_start();
  const uint4 first = reinterpret_cast<const uint4*>(o.x)[static_cast<std::uint64_t>(blockIdx.x) * o.x_step];
  common::read_row(common::own_vectors(o.x, o.x_step), o.vectors, held);
  if constexpr (kWeights == common::Weights::second) {
    common::read_row(weight, o.vectors, weights);
    if constexpr (kBias) common::read_row(bias, o.vectors, biases);
  }
  uint4* out = nullptr;
  if constexpr (kWeights != common::Weights::last)
    out = common::made_now(common::own_vectors(o.out, o.out_step));
  auto& scratch = common::made_now_shared(memory);
  scratch.open();
  if constexpr (!kSignalFirst) common::let_next_start();
  const float point = point_of<T>(first);
  Distances<kWeights == common::Weights::last ? 1 : 2> own;
  float distances[kBranches ? 1 : kHeld][kWidth];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (kBranches && common::vector_of(k) >= o.vectors) continue;
    // A vector that the row does not have is zeros, at no distance from 0.
    auto& s = distances[kBranches ? 0 : k];
    unpack_from<T>(held[k], common::vector_of(k) < o.vectors ? point : 0.0F, s);
    own.add(s, !kBranches && k == 0);
  }
  const Moments moments = moments_of<kWeights>(own, o, scratch);
  const float mean = point + moments.away;
  const float shift = -moments.away * moments.scale;
  if constexpr (kWeights == common::Weights::last) out = common::own_vectors(o.out, o.out_step);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (kBranches && common::vector_of(k) >= o.vectors) continue;
    if constexpr (kWeights == common::Weights::last) {
      weights[k] = weight[k * blockDim.x];
      if constexpr (kBias) biases[k] = bias[k * blockDim.x];
    }
    float w[kWidth];
    float b[kWidth] = {};
    auto& s = distances[kBranches ? 0 : k];
    if constexpr (kBranches) common::unpack<T>(held[k], s);
    common::unpack<T>(weights[k], w);
    if constexpr (kBias) common::unpack<T>(biases[k], b);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[i] = fmaf(kBranches ? (s[i] - mean) * moments.scale : fmaf(s[i], moments.scale, shift), w[i], b[i]);
    const uint4 result = common::pack<T>(s);
    if (common::vector_of(k) < o.vectors) out[k * blockDim.x] = result;
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
