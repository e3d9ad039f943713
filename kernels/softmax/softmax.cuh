#pragma once

#include <cmath>
#include <cstdint>

#include "common/approximate.cuh"
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
  // In vectors of 16 bytes; unused where rows are not made of such.
  unsigned out_step;
  unsigned x_step;
  unsigned vectors;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
};

/// Blocks that share one long row.
inline constexpr int kCluster = 8;
/// Warps, and with them rows, of a block whose warps have a row each.
inline constexpr unsigned kWarpsOfShort = 4;

/// The largest of some values, and the sum of exp(value - largest).
struct Partial {
  float largest;
  float sum;
};

/// exp(value - largest); results below 2^-126 are 0. The difference comes first: products with log2(e) would
/// overflow near the ends of float32's range, where masks lie.
__device__ inline float exponential(float value, float largest) {
  constexpr float kLog2E = 1.44269504F;
  return common::approximate_exp2((value - largest) * kLog2E);
}

/// The same where largest may be -inf, the largest of nothing: then 0, and not NaN.
__device__ inline float exp_below(float value, float largest) {
  return largest == -INFINITY ? 0.0F : exponential(value, largest);
}

/// Partials of up to `kLanes` lanes as one, in all lanes of the warp; lanes that differ by a multiple of
/// kLanes have the same. Those without one give {-inf, 0}.
template <int kLanes>
__device__ Partial merge(const Partial& part, float largest) {
  float sum = part.sum * exp_below(part.largest, largest);
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffU, sum, offset);
  return {largest, sum};
}

/// Which vectors of a row a thread holds: `first`, `first` + `step`, … below `count`.
struct Share {
  unsigned first;
  unsigned step;
  unsigned count;

  __device__ bool has(int held) const { return first + static_cast<unsigned>(held) * step < count; }
};

/// The vectors of a row that one thread holds, each as the exponentials of its elements.
template <class T, int kHeld>
struct Held {
  float values[kHeld][common::kPerVector<T>];
  float base;  ///< the largest element of this thread, which its exponentials are below; -inf of nothing else

  /// Reads the share, whose first vector is at `own`; what it lacks becomes -inf.
  __device__ void read(const uint4* own, const Share& share) {
    uint4 raw[kHeld];
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
      if (share.has(k)) raw[k] = own[k * share.step];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (share.has(k)) {
        common::unpack<T>(raw[k], values[k]);
      } else {
#pragma unroll
        for (int i = 0; i < common::kPerVector<T>; ++i)
          values[k][i] = -INFINITY;
      }
    }
  }

  /// Makes each value exp(value - base), which waits for no other thread. Returns what the warp holds.
  __device__ Partial partial(const Share&) {
    float own[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        own[i % 2] = fmaxf(own[i % 2], values[k][i]);
    base = fmaxf(own[0], own[1]);
    const Partial thread{base, exponentials()};
    return merge<32>(thread, common::warp_max(base));
  }

  /// The sum of this thread's exponentials, which take the place of the values.
  __device__ float exponentials() {
    // Of nothing but -inf the largest is taken for 0: every exponential is then 0. NaN passes through.
    const float from = base == -INFINITY ? 0.0F : base;
    float sums[2] = {};
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i) {
        values[k][i] = exponential(values[k][i], from);
        sums[i % 2] += values[k][i];
      }
    return sums[0] + sums[1];
  }

  /// Writes the result, for the partial of the whole row.
  __device__ void write(uint4* own, const Share& share, const Partial& all) {
    const float scale = exp_below(base, all.largest) * common::approximate_reciprocal(all.sum);
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (!share.has(k)) continue;
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        values[k][i] *= scale;
      own[k * share.step] = common::pack<T>(values[k]);
    }
  }
};

/// The same, with the vectors as they were read: exponentials are computed twice, but a thread needs half of
/// the registers for elements of 16 bits.
template <class T, int kHeld>
struct Packed {
  uint4 raw[kHeld];

  __device__ void read(const uint4* own, const Share& share) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k)
      if (share.has(k)) raw[k] = own[k * share.step];
  }

  /// What the warp holds.
  __device__ Partial partial(const Share& share) const {
    float largest = -INFINITY;
    float s[common::kPerVector<T>];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (!share.has(k)) continue;
      common::unpack<T>(raw[k], s);
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        largest = fmaxf(largest, s[i]);
    }
    largest = common::warp_max(largest);
    const float base = largest == -INFINITY ? 0.0F : largest;
    float sums[2] = {};
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (!share.has(k)) continue;
      common::unpack<T>(raw[k], s);
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        sums[i % 2] += exponential(s[i], base);
    }
    return {largest, common::warp_sum(sums[0] + sums[1])};
  }

  __device__ void write(uint4* own, const Share& share, const Partial& all) const {
    const float scale = common::approximate_reciprocal(all.sum);
    float s[common::kPerVector<T>];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (!share.has(k)) continue;
      common::unpack<T>(raw[k], s);
#pragma unroll
      for (int i = 0; i < common::kPerVector<T>; ++i)
        s[i] = exponential(s[i], all.largest) * scale;
      own[k * share.step] = common::pack<T>(s);
    }
  }
};

/// Shared memory for `merge_warps`, opened ahead of it.
template <int kWarps>
struct Scratch {
  common::OfWarps<kWarps> largest;
  common::OfWarps<kWarps> sums;

  __device__ void open() {
    largest.open(-INFINITY);
    sums.open(0.0F);
  }
};

/// The partials of the warps of a block as one, in all threads; one barrier.
template <int kWarps>
__device__ Partial merge_warps(const Partial& own, Scratch<kWarps>& scratch) {
  scratch.largest.keep(own.largest);
  scratch.sums.keep(own.sum);
  __syncthreads();
  float eight[8];
  scratch.largest.read(eight);
  const unsigned warp = threadIdx.x % kWarps;
  return merge<kWarps>({scratch.largest.values[warp], scratch.sums.values[warp]},
                       common::max_of_eight<kWarps>(eight));
}

/// One warp per row of at most 32 * kHeld vectors: no barrier.
template <class T, int kHeld>
__global__ void __launch_bounds__(32 * kWarpsOfShort) softmax_short(const Typed<T> o) {
  const std::uint64_t r = static_cast<std::uint64_t>(blockIdx.x) * kWarpsOfShort + threadIdx.x / 32;
  if (r >= static_cast<std::uint64_t>(o.rows)) return;
  const Share share{threadIdx.x % 32, 32, o.vectors};
  common::wait_for_previous();
  Held<T, kHeld> row;
  row.read(common::vectors_at(o.x, r, o.x_step, share.first), share);
  common::let_next_start();
  uint4* out = common::made_now(common::vectors_at(o.out, r, o.out_step, share.first));
  row.write(out, share, row.partial(share));
}

/// One block per row, which stays in registers: memory is read once, and there is one barrier. `Row` is Held
/// or Packed. Needs rows aligned to 16 bytes that the block has room for, and a block for each row.
template <class T, class Row, int kThreads>
__global__ void __launch_bounds__(kThreads) softmax_held(const Typed<T> o) {
  __shared__ Scratch<kThreads / 32> memory;
  const Share share{threadIdx.x, blockDim.x, o.vectors};
  common::wait_for_previous();
  Row row;
  row.read(common::own_vectors(o.x, o.x_step), share);
  auto& scratch = common::made_now_shared(memory);
  scratch.open();
  common::let_next_start();
  uint4* out = common::made_now(common::own_vectors(o.out, o.out_step));
  row.write(out, share, merge_warps(row.partial(share), scratch));
}

/// A word of elements that are -inf.
__device__ inline unsigned nothing_of(float*) {
  return 0xff800000U;
}
__device__ inline unsigned nothing_of(__half*) {
  return 0xfc00fc00U;
}
__device__ inline unsigned nothing_of(__nv_bfloat16*) {
  return 0xff80ff80U;
}

/// The larger of each two elements, packed.
__device__ inline unsigned larger_of(float*, unsigned a, unsigned b) {
  return __float_as_uint(fmaxf(__uint_as_float(a), __uint_as_float(b)));
}
template <class Pair>
__device__ unsigned larger_of_pairs(unsigned a, unsigned b) {
  const Pair most = __hmax2(*reinterpret_cast<const Pair*>(&a), *reinterpret_cast<const Pair*>(&b));
  return *reinterpret_cast<const unsigned*>(&most);
}
__device__ inline unsigned larger_of(__half*, unsigned a, unsigned b) {
  return larger_of_pairs<__half2>(a, b);
}
__device__ inline unsigned larger_of(__nv_bfloat16*, unsigned a, unsigned b) {
  return larger_of_pairs<__nv_bfloat162>(a, b);
}

/// The largest element of a vector.
template <class T>
__device__ float largest_of(const uint4& vector) {
  T* const type = nullptr;
  const unsigned most =
      larger_of(type, larger_of(type, vector.x, vector.y), larger_of(type, vector.z, vector.w));
  float elements[common::kPerWord<T>];
  common::unpack_word<T>(most, elements);
  float largest = elements[0];
#pragma unroll
  for (int i = 1; i < common::kPerWord<T>; ++i)
    largest = fmaxf(largest, elements[i]);
  return largest;
}

/// Sums of exponentials that `softmax_pointed` trusts. As the point is an element, the sum is 1 at least, but
/// for what rounding takes from its own; up to the other bound an exponential has seven digits.
inline constexpr float kLeastSum = 0.5F;
inline constexpr float kMostSum = 1099511627776.0F;  // 2^40

/// One block per row, which is read once. Exponentials are of distances from a point that needs no reduction:
/// the largest element of the row's first vector and, with `kBothEnds`, of its last. So the sum is all that
/// threads wait for. A point that is far below the largest element, or none because masks have taken those
/// ends of the row, shows in the sum: then the row is read once more, and its largest element found. Needs
/// what softmax_held does.
template <class T, int kHeld, int kThreads, bool kBothEnds>
__global__ void __launch_bounds__(kThreads) softmax_pointed(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  constexpr float kLog2E = 1.44269504F;
  __shared__ common::OfWarps<kThreads / 32> memory;
  __shared__ Scratch<kThreads / 32> memory_of_held;
  const Share share{threadIdx.x, blockDim.x, o.vectors};
  common::wait_for_previous();
  common::let_next_start();
  const uint4* row = reinterpret_cast<const uint4*>(o.x) + static_cast<std::uint64_t>(blockIdx.x) * o.x_step;
  const uint4 first = row[0];
  const uint4 last = kBothEnds ? row[o.vectors - 1] : uint4{};
  const auto* x = common::own_vectors(o.x, o.x_step);
  const unsigned nothing = nothing_of(static_cast<T*>(nullptr));
  uint4 raw[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    raw[k] = share.has(k) ? x[k * share.step] : uint4{nothing, nothing, nothing, nothing};
  auto& scratch = common::made_now_shared(memory);
  scratch.open(0.0F);
  uint4* out = common::made_now(common::own_vectors(o.out, o.out_step));
  float point = largest_of<T>(first);
  if constexpr (kBothEnds) point = fmaxf(point, largest_of<T>(last));
  // What rounding does to it every exponent has, and the division takes it away.
  const float shift = -point * kLog2E;
  float values[kHeld][kWidth];
  float sums[2] = {};
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    common::unpack<T>(raw[k], values[k]);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      values[k][i] = common::approximate_exp2(fmaf(values[k][i], kLog2E, shift));
      sums[i % 2] = k == 0 && i < 2 ? values[k][i] : sums[i % 2] + values[k][i];
    }
  }
  const float sum = common::block_sum<common::Weights::second>(sums[0] + sums[1], scratch);
  if (!(sum >= kLeastSum && sum <= kMostSum)) {
    Held<T, kHeld> held;
    held.read(x, share);
    auto& others = common::made_now_shared(memory_of_held);
    others.open();
    held.write(out, share, merge_warps(held.partial(share), others));
    return;
  }
  const float scale = common::approximate_reciprocal(sum);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      values[k][i] *= scale;
    const uint4 result = common::pack<T>(values[k]);
    if (share.has(k)) out[k * share.step] = result;
  }
}

/// A cluster of blocks per row: the same for rows that one block cannot hold. Each block gives its partial to
/// all others, so there is one exchange. Needs kCluster blocks for each row, capability 9.0.
template <class T, class Row, int kThreads, int kBlocks>
__global__ void __launch_bounds__(kThreads, kBlocks) softmax_cluster(const Typed<T> o) {
  __shared__ Scratch<kThreads / 32> memory;
  __shared__ Partial blocks[kCluster];
  // Nobody writes into a block that has not begun.
  common::cluster_arrive();
  const unsigned r = blockIdx.x / kCluster;
  const unsigned rank = common::cluster_rank();
  const unsigned each = (o.vectors + kCluster - 1) / kCluster;
  const unsigned begin = min(rank * each, o.vectors);
  const Share share{threadIdx.x, blockDim.x, min(each, o.vectors - begin)};
  common::wait_for_previous();
  Row row;
  row.read(common::vectors_at(o.x, r, o.x_step, begin + threadIdx.x), share);
  common::let_next_start();
  auto& scratch = common::made_now_shared(memory);
  scratch.open();
  uint4* out = common::made_now(common::vectors_at(o.out, r, o.out_step, begin + threadIdx.x));
  const Partial block = merge_warps(row.partial(share), scratch);
  common::cluster_wait();
  if (threadIdx.x < kCluster) *common::in_block(&blocks[rank], threadIdx.x) = block;
  common::cluster_arrive();
  common::cluster_wait();
  const Partial part = blocks[threadIdx.x % kCluster];
  float largest = part.largest;
#pragma unroll
  for (int offset = kCluster / 2; offset > 0; offset /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffU, largest, offset));
  row.write(out, share, merge<kCluster>(part, largest));
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
  __shared__ Scratch<32> scratch;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * kWidth;
  scratch.open();
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
    const Partial all = merge_warps(merge<32>(own, common::warp_max(own.largest)), scratch);
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
