#pragma once

#include <cmath>
#include <cstdint>

#include "common/cluster.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"
#include "softmax/softmax.h"

namespace kernels::softmax {

/// Operands with their type; strides in elements.
template <class T>
struct Typed {
  T* out;
  const T* x;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
};

/// Blocks that share one long row.
inline constexpr unsigned kCluster = 8;
/// Warps, and with them rows, of a block whose warps have a row each.
inline constexpr unsigned kWarpsOfShort = 4;

/// The largest of some values, and the sum of exp(value - largest).
struct Partial {
  float largest;
  float sum;
};

/// exp(value - largest) where largest may be -inf, the largest of nothing: then 0, and not NaN.
__device__ inline float exp_below(float value, float largest) {
  return largest == -INFINITY ? 0.0F : __expf(value - largest);
}

/// The vectors of a row that one thread holds, each as the exponentials of its elements.
template <class T, int kHeld>
struct Held {
  float values[kHeld][common::kPerVector<T>];

  /// Reads the vectors `first`, `first` + `step`, … that lie below `count`; the others become -inf.
  __device__ void read(const uint4* row, unsigned first, unsigned step, unsigned count) {
    uint4 raw[kHeld];
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
      if (first + k * step < count) raw[k] = row[first + k * step];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (first + k * step < count) {
        common::unpack<T>(raw[k], values[k]);
      } else {
#pragma unroll
        for (int i = 0; i < common::kPerVector<T>; ++i)
          values[k][i] = -INFINITY;
      }
    }
  }

  /// Makes each value exp(value - largest of the warp). Returns what the warp holds.
  __device__ Partial exponentiate() {
    float largest = -INFINITY;
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        largest = fmaxf(largest, values[k][i]);
    largest = common::warp_max(largest);
    // Of nothing but -inf the largest is taken for 0: every exponential is then 0. NaN passes through.
    const float base = largest == -INFINITY ? 0.0F : largest;
    float sum = 0.0F;
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i) {
        values[k][i] = __expf(values[k][i] - base);
        sum += values[k][i];
      }
    return {largest, common::warp_sum(sum)};
  }

  __device__ void write(uint4* row, unsigned first, unsigned step, unsigned count, float scale) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (first + k * step >= count) continue;
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        values[k][i] *= scale;
      row[first + k * step] = common::pack<T>(values[k]);
    }
  }
};

/// Partials of up to 32 lanes as one, in all lanes of the warp. Lanes without one give {-inf, 0}.
__device__ inline Partial merge(const Partial& part) {
  const float largest = common::warp_max(part.largest);
  return {largest, common::warp_sum(part.sum * exp_below(part.largest, largest))};
}

/// The partials of the warps of a block as one, in all threads; one barrier.
__device__ inline Partial merge_warps(const Partial& own, Partial* scratch) {
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) scratch[threadIdx.x / 32] = own;
  __syncthreads();
  return merge(lane < blockDim.x / 32 ? scratch[lane] : Partial{-INFINITY, 0.0F});
}

/// One warp per row of at most 32 * kHeld vectors: no barrier.
template <class T, int kHeld>
__global__ void __launch_bounds__(32 * kWarpsOfShort) softmax_short(const Typed<T> o) {
  const auto vectors = static_cast<unsigned>(o.cols / common::kPerVector<T>);
  const auto r = static_cast<std::int64_t>(blockIdx.x) * kWarpsOfShort + threadIdx.x / 32;
  if (r >= o.rows) return;
  common::wait_for_previous();
  Held<T, kHeld> held;
  held.read(reinterpret_cast<const uint4*>(o.x + r * o.x_stride), threadIdx.x % 32, 32, vectors);
  common::let_next_start();
  const Partial all = held.exponentiate();
  held.write(reinterpret_cast<uint4*>(o.out + r * o.out_stride), threadIdx.x % 32, 32, vectors,
             1.0F / all.sum);
}

/// One block per row, which stays in registers as exponentials: memory is read once, and there is one
/// barrier. Needs rows aligned to 16 bytes, cols <= kHeld * blockDim.x * 16 / sizeof(T) and a block for each
/// row.
template <class T, int kHeld>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) softmax_held(const Typed<T> o) {
  __shared__ Partial scratch[32];
  const auto vectors = static_cast<unsigned>(o.cols / common::kPerVector<T>);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  common::wait_for_previous();
  Held<T, kHeld> held;
  held.read(reinterpret_cast<const uint4*>(o.x + r * o.x_stride), threadIdx.x, blockDim.x, vectors);
  common::let_next_start();
  const Partial own = held.exponentiate();
  const Partial all = merge_warps(own, scratch);
  held.write(reinterpret_cast<uint4*>(o.out + r * o.out_stride), threadIdx.x, blockDim.x, vectors,
             exp_below(own.largest, all.largest) / all.sum);
}

/// A cluster of blocks per row: the same for rows that one block cannot hold. Each block gives its partial to
/// all others, so there is one exchange. Needs kCluster blocks for each row, capability 9.0.
template <class T, int kHeld>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) softmax_cluster(const Typed<T> o) {
  __shared__ Partial scratch[32];
  __shared__ Partial blocks[kCluster];
  // Nobody writes into a block that has not begun.
  common::cluster_arrive();
  const auto vectors = static_cast<unsigned>(o.cols / common::kPerVector<T>);
  const auto r = static_cast<std::int64_t>(blockIdx.x / kCluster);
  const unsigned rank = common::cluster_rank();
  const unsigned share = (vectors + kCluster - 1) / kCluster;
  const unsigned begin = min(rank * share, vectors);
  const unsigned count = min(share, vectors - begin);
  common::wait_for_previous();
  Held<T, kHeld> held;
  held.read(reinterpret_cast<const uint4*>(o.x + r * o.x_stride) + begin, threadIdx.x, blockDim.x, count);
  common::let_next_start();
  const Partial own = held.exponentiate();
  const Partial block = merge_warps(own, scratch);
  common::cluster_wait();
  if (threadIdx.x < kCluster) *common::in_block(&blocks[rank], threadIdx.x) = block;
  common::cluster_arrive();
  common::cluster_wait();
  const unsigned lane = threadIdx.x % 32;
  const Partial all = merge(lane < kCluster ? blocks[lane] : Partial{-INFINITY, 0.0F});
  held.write(reinterpret_cast<uint4*>(o.out + r * o.out_stride) + begin, threadIdx.x, blockDim.x, count,
             exp_below(own.largest, all.largest) / all.sum);
}

/// `kWidth` elements as float32, in one access.
template <class T, int kWidth>
__device__ void load_some(const T* from, float (&out)[kWidth]) {
  if constexpr (kWidth == 1)
    out[0] = common::load(*from);
  else
    common::unpack<T>(*reinterpret_cast<const uint4*>(from), out);
}
template <class T, int kWidth>
__device__ void store_some(T* to, const float (&in)[kWidth]) {
  if constexpr (kWidth == 1)
    common::store(*to, in[0]);
  else
    *reinterpret_cast<uint4*>(to) = common::pack<T>(in);
}

/// One block per row of any length, read twice: largest and sum together, then the result. `kWidth` is 1, or
/// a whole vector where the rows are aligned to 16 bytes.
template <class T, int kWidth>
__global__ void __launch_bounds__(1024) softmax_any(const Typed<T> o) {
  __shared__ Partial scratch[32];
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * kWidth;
  common::wait_for_previous();
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const T* x = o.x + r * o.x_stride;
    T* out = o.out + r * o.out_stride;
    Partial own{-INFINITY, 0.0F};
    float s[kWidth];
    for (std::int64_t c = static_cast<std::int64_t>(threadIdx.x) * kWidth; c < o.cols; c += step) {
      load_some<T, kWidth>(x + c, s);
      float largest = own.largest;
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        largest = fmaxf(largest, s[i]);
      own.sum *= exp_below(own.largest, largest);
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        own.sum += s[i] != s[i] ? s[i] : exp_below(s[i], largest);
      own.largest = largest;
    }
    const Partial all = merge_warps(merge(own), scratch);
    const float scale = 1.0F / all.sum;
    for (std::int64_t c = static_cast<std::int64_t>(threadIdx.x) * kWidth; c < o.cols; c += step) {
      load_some<T, kWidth>(x + c, s);
#pragma unroll
      for (int i = 0; i < kWidth; ++i)
        s[i] = exp_below(s[i], all.largest) * scale;
      store_some<T, kWidth>(out + c, s);
    }
    __syncthreads();
  }
  common::let_next_start();
}

}  // namespace kernels::softmax
