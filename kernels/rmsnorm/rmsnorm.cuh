#pragma once

#include <cstdint>
#include <type_traits>

#include "common/approximate.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm {

/// Operands with their type; strides in elements. In the order in which kernels need them: the first read of
/// a part of the parameters is waited for.
template <class T>
struct Typed {
  const T* x;
  const T* weight;
  // In vectors of 16 bytes; unused where rows are not made of such.
  unsigned x_step;
  unsigned vectors;
  T* residual;
  unsigned residual_step;
  unsigned out_step;
  T* out;
  float per_col;  ///< 1 / cols
  float eps;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
};

/// Squares are added in `kSums` sums side by side, so that none waits long for the one before it.
template <int kSums>
struct Squares {
  float sums[kSums] = {};

  template <int kWidth>
  __device__ void add(const float (&s)[kWidth]) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      sums[i % kSums] = fmaf(s[i], s[i], sums[i % kSums]);
  }
  __device__ float sum() const {
    float sum = sums[0];
#pragma unroll
    for (int i = 1; i < kSums; ++i)
      sum += sums[i];
    return sum;
  }
};
template <common::Weights kWeights>
inline constexpr int kSums = kWeights == common::Weights::last ? 1 : 4;

/// Registers that are left to each thread where there are many rows: as few as it makes do with, which
/// depends on what the compiler makes for an architecture.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ != 900
inline constexpr bool kHopper = false;
#else
inline constexpr bool kHopper = true;
#endif
template <int kHeld>
inline constexpr int kNormRegisters = kHeld == 8               ? (kHopper ? 64 : 80)
                                      : kHeld == 4 && !kHopper ? 48
                                                               : 32;
template <class T, int kHeld>
inline constexpr int kFusedRegisters = kHeld == 4                                              ? 64
                                       : kHeld == 2 && (!kHopper || std::is_same_v<T, __half>) ? 40
                                                                                               : 32;

/// What every element is multiplied by, 1 / sqrt(mean(squares) + eps), in all threads of a block.
template <common::Weights kWeights, class T, int kWarps>
__device__ float scale_of(float squares, const Typed<T>& o, common::OfWarps<kWarps>& scratch) {
  if constexpr (kWeights == common::Weights::last) {
    // A true division, because the compiler keeps few registers across it: the row stays packed, and there is
    // room for more blocks.
    return rsqrtf(common::block_sum<kWeights>(squares, scratch) / static_cast<float>(o.cols) + o.eps);
  } else {
    // Every operation behind the barrier is waited for: what can be done ahead of it, is.
    const float part = fmaf(squares, o.per_col, threadIdx.x == 0 ? o.eps : 0.0F);
    return common::approximate_rsqrt(common::block_sum<kWeights>(part, scratch));
  }
}

/// One block per row, which stays in registers as it was read, so memory is read once. Needs rows aligned to
/// 16 bytes, vectors <= kHeld * blockDim.x and a block for each row.
template <class T, int kHeld, common::Weights kWeights, int kThreads>
__global__ void __launch_bounds__(kThreads, (common::blocks_held<kThreads, kWeights>(kNormRegisters<kHeld>)))
    norm_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  constexpr bool kTakesPart = kWeights != common::Weights::second;
  __shared__ common::OfWarps<kThreads / 32> memory;
  const auto* weight = common::own_vectors(o.weight, 0);
  uint4 held[kHeld];
  uint4 weights[kHeld];
  if constexpr (kWeights == common::Weights::first) common::read_row(weight, o.vectors, weights);
  const auto* x = common::own_vectors(o.x, o.x_step);
  if constexpr (kWeights == common::Weights::first) x = common::made_now(x);
  common::wait_for_previous(kTakesPart);
  if constexpr (kWeights == common::Weights::first) common::let_next_start();
  common::read_row(x, o.vectors, held);
  if constexpr (kWeights == common::Weights::second) common::read_row(weight, o.vectors, weights);
  // Where a thread reads much, it also keeps the assembler from reading weights only when x has come.
  if constexpr (kWeights != common::Weights::first) common::let_next_start(kTakesPart || kHeld >= 4);
  auto& scratch = common::made_now_shared(memory);
  scratch.open(0.0F);
  uint4* out = nullptr;
  if constexpr (kWeights != common::Weights::last)
    out = common::made_now(common::own_vectors(o.out, o.out_step));
  Squares<kSums<kWeights>> squares;
  float s[kWidth];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    common::unpack<T>(held[k], s);
    squares.add(s);
  }
  const float scale = scale_of<kWeights>(squares.sum(), o, scratch);
  if constexpr (kWeights == common::Weights::last) out = common::own_vectors(o.out, o.out_step);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if constexpr (kWeights == common::Weights::last) {
      // One after the other: this branch keeps the compiler from reading all of them at once.
      if (common::vector_of(k) >= o.vectors) continue;
      weights[k] = weight[k * blockDim.x];
    }
    float w[kWidth];
    common::unpack<T>(held[k], s);
    common::unpack<T>(weights[k], w);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[i] = s[i] * scale * w[i];
    const uint4 result = common::pack<T>(s);
    if (common::vector_of(k) < o.vectors) out[k * blockDim.x] = result;
  }
}

/// The fused form: the sum of the row and its residual is kept in float32, as it was before it was rounded.
template <class T, int kHeld, common::Weights kWeights, int kThreads>
__global__ void __launch_bounds__(kThreads,
                                  (common::blocks_held<kThreads, kWeights>(kFusedRegisters<T, kHeld>)))
    fused_held(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  __shared__ common::OfWarps<kThreads / 32> memory;
  const auto* weight = common::own_vectors(o.weight, 0);
  auto* residual = common::own_vectors(o.residual, o.residual_step);
  uint4 in[kHeld];
  uint4 added[kHeld];
  uint4 weights[kHeld];
  if constexpr (kWeights == common::Weights::first) common::read_row(weight, o.vectors, weights);
  const auto* x = common::own_vectors(o.x, o.x_step);
  if constexpr (kWeights == common::Weights::first) {
    x = common::made_now(x);
    residual = common::made_now(residual);
  }
  common::wait_for_previous();
  if constexpr (kWeights == common::Weights::first) common::let_next_start();
  common::read_row(x, o.vectors, in);
  common::read_row(static_cast<const uint4*>(residual), o.vectors, added);
  if constexpr (kWeights == common::Weights::second) common::read_row(weight, o.vectors, weights);
  if constexpr (kWeights != common::Weights::first) common::let_next_start();
  auto& scratch = common::made_now_shared(memory);
  scratch.open(0.0F);
  uint4* out = nullptr;
  if constexpr (kWeights != common::Weights::last)
    out = common::made_now(common::own_vectors(o.out, o.out_step));
  float s[kHeld][kWidth];
  Squares<kSums<kWeights>> squares;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    float more[kWidth];
    common::unpack<T>(in[k], s[k]);
    common::unpack<T>(added[k], more);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[k][i] += more[i];
    squares.add(s[k]);
    const uint4 sum = common::pack<T>(s[k]);
    if (common::vector_of(k) < o.vectors) residual[k * blockDim.x] = sum;
  }
  const float scale = scale_of<kWeights>(squares.sum(), o, scratch);
  if constexpr (kWeights == common::Weights::last) out = common::own_vectors(o.out, o.out_step);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if constexpr (kWeights == common::Weights::last) {
      // One after the other: this branch keeps the compiler from reading all of them at once.
      if (common::vector_of(k) >= o.vectors) continue;
      weights[k] = weight[k * blockDim.x];
    }
    float w[kWidth];
    common::unpack<T>(weights[k], w);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      s[k][i] = s[k][i] * scale * w[i];
    const uint4 result = common::pack<T>(s[k]);
    if (common::vector_of(k) < o.vectors) out[k * blockDim.x] = result;
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
