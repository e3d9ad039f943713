#pragma once

#include <cstdint>

#include "common/approximate.cuh"
#include "common/float8.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"
#include "quantize_fp8/quantize_fp8.h"

namespace kernels::quantize_fp8 {

/// Operands with their type; strides in elements. In the order in which kernels need them: the first read of
/// a part of the parameters is waited for.
template <class T>
struct Typed {
  const T* x;
  // Unused where rows are not made of chunks.
  unsigned x_step;  ///< in vectors of 16 bytes
  unsigned chunks;
  std::uint8_t* out;
  float* scales;
  unsigned out_step;       ///< in chunks of 8 bytes
  unsigned residual_step;  ///< in vectors
  const T* weight;
  T* residual;
  float per_col;  ///< 1 / cols; 0 of no columns
  float eps;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
};

enum class Form : std::uint8_t { plain, norm, fused_add };

/// Elements that a thread takes side by side: 8 bytes of results. They are one vector of 16 bits each, or two
/// of 32.
inline constexpr int kChunk = 8;
template <class T>
inline constexpr int kVectors = static_cast<int>(kChunk * sizeof(T) / 16);

/// A chunk as it was read.
template <class T>
struct Raw {
  uint4 vectors[kVectors<T>];
};

template <class T>
__device__ void read(const uint4* own, int held, Raw<T>& raw) {
#pragma unroll
  for (int i = 0; i < kVectors<T>; ++i)
    raw.vectors[i] = own[held * blockDim.x * kVectors<T> + i];
}

template <class T>
__device__ void unpack(const Raw<T>& raw, float (&out)[kChunk]) {
  constexpr int kWidth = common::kPerVector<T>;
#pragma unroll
  for (int i = 0; i < kVectors<T>; ++i) {
    float part[kWidth];
    common::unpack<T>(raw.vectors[i], part);
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      out[i * kWidth + k] = part[k];
  }
}

template <class T>
__device__ void write(const float (&in)[kChunk], uint4* own, int held) {
  constexpr int kWidth = common::kPerVector<T>;
#pragma unroll
  for (int i = 0; i < kVectors<T>; ++i) {
    float part[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      part[k] = in[i * kWidth + k];
    own[held * blockDim.x * kVectors<T> + i] = common::pack<T>(part);
  }
}

/// Threads of a block whose threads hold so many chunks each, at most.
template <Form kForm, int kHeld>
inline constexpr int kThreads = kForm != Form::plain && kHeld == 1 ? 256 : 512;

/// Rows for which there is a kernel that takes part in dependent launch and one that does not: there the next
/// one may start at once, and here the many waves that such rows may come in are not held up.
template <int kHeld>
inline constexpr bool kIsShort = kHeld <= 2;

/// The chunks of one row that a thread holds, as others hold vectors.
__device__ inline unsigned chunk_of(int held) {
  return common::vector_of(held);
}

/// This thread's first chunk of the results of the row of this block.
template <class T>
__device__ uint2* chunks_of_block(const Typed<T>& o) {
  return reinterpret_cast<uint2*>(o.out) + static_cast<std::uint64_t>(blockIdx.x) * o.out_step + threadIdx.x;
}

/// The largest magnitude in each half of a chunk's words, still packed: unpacked values would stay in twice
/// the registers until they are needed again. Like fmaxf these instructions pass over NaN.
__device__ inline __half2 larger(__half2 most, unsigned word) {
  return __hmax2(most, __habs2(*reinterpret_cast<const __half2*>(&word)));
}
__device__ inline __nv_bfloat162 larger(__nv_bfloat162 most, unsigned word) {
  return __hmax2(most, __habs2(*reinterpret_cast<const __nv_bfloat162*>(&word)));
}
template <class Pair>
__device__ float largest_packed(const uint4& raw, float most) {
  Pair pair = larger(larger(larger(larger(Pair{}, raw.x), raw.y), raw.z), raw.w);
  return fmaxf(most, fmaxf(common::load(pair.x), common::load(pair.y)));
}

/// fmaxf passes over NaN.
__device__ inline float largest(const float (&values)[kChunk], float most) {
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    most = fmaxf(most, fabsf(values[i]));
  return most;
}

__device__ inline float largest(const Raw<__half>& raw, float most) {
  return largest_packed<__half2>(raw.vectors[0], most);
}
__device__ inline float largest(const Raw<__nv_bfloat16>& raw, float most) {
  return largest_packed<__nv_bfloat162>(raw.vectors[0], most);
}
__device__ inline float largest(const Raw<float>& raw, float most) {
  float values[kChunk];
  unpack<float>(raw, values);
  return largest(values, most);
}

/// Largest value of a warp. Numbers that are neither negative nor NaN are ordered as their bits are.
__device__ inline float warp_most(float value) {
  return __uint_as_float(__reduce_max_sync(0xffffffffU, __float_as_uint(value)));
}

/// What is known of a row: of a thread's part at first, then of all of it.
struct Found {
  float most = 0.0F;     ///< the largest magnitude, with its weight
  float squares = 0.0F;  ///< their sum, without weights
};

/// Shared memory for `over_block`, opened ahead of it.
template <Form kForm, int kWarps>
struct Scratch {
  common::OfWarps<kWarps> most;
  common::OfWarps<kWarps> squares;  ///< not used by the plain form

  __device__ void open() {
    most.open(0.0F);
    if constexpr (kForm != Form::plain) squares.open(0.0F);
  }
};

/// The same over all threads of a block of at most `kWarps` warps, returned to all of them, with one barrier.
template <Form kForm, int kWarps>
__device__ Found over_block(Found found, Scratch<kForm, kWarps>& scratch) {
  // Both before either is kept: they are found side by side.
  found.most = warp_most(found.most);
  if constexpr (kForm != Form::plain) found.squares = common::warp_sum(found.squares);
  scratch.most.keep(found.most);
  if constexpr (kForm != Form::plain) scratch.squares.keep(found.squares);
  __syncthreads();
  found.most = warp_most(scratch.most.values[threadIdx.x % kWarps]);
  if constexpr (kForm != Form::plain) {
    float eight[8];
    scratch.squares.read(eight);
    found.squares = common::sum_of_eight<kWarps>(eight);
  }
  return found;
}

/// The scale of a row, and what its values are multiplied by.
struct Scaling {
  float scale;
  float factor;
};

template <Form kForm>
__device__ Scaling scaling_of(const Found& found, float per_col, float eps) {
  float norm = 1.0F;
  if constexpr (kForm != Form::plain) norm = rsqrtf(fmaf(found.squares, per_col, eps));
  const float scale = fmaxf(found.most * norm * (1.0F / kMost), kLeastScale);
  return {scale, norm * common::approximate_reciprocal(scale)};
}

/// One block per row, which stays in registers as it was read, so memory is read once. Needs rows of x
/// aligned to 16 bytes and those of out to 8, a multiple of 8 columns, cols <= kHeld * blockDim.x * 8 and a
/// block for each row. `kDependent`: takes part in dependent launch.
template <class T, int kHeld, bool kDependent>
__global__ void __launch_bounds__(kThreads<Form::plain, kHeld>, sizeof(T) == 2 && kHeld == 4 ? 4 : 1)
    quantize_held(const Typed<T> o) {
  __shared__ Scratch<Form::plain, kThreads<Form::plain, kHeld> / 32> memory;
  const unsigned chunks = o.chunks;
  const auto* x = common::own_vectors(o.x, o.x_step, kVectors<T>);
  if constexpr (kIsShort<kHeld>) x = common::made_now(x);
  Raw<T> held[kHeld];
  common::wait_for_previous(kDependent);
  if constexpr (kIsShort<kHeld>) common::let_next_start(kDependent);
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (chunk_of(k) < chunks)
      read<T>(x, k, held[k]);
    else
      held[k] = {};
  if constexpr (!kIsShort<kHeld>) common::let_next_start();
  auto& scratch = common::made_now_shared(memory);
  scratch.open();
  uint2* out = common::made_now(chunks_of_block(o));
  Found found;
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    found.most = largest(held[k], found.most);
  found = over_block<Form::plain>(found, scratch);
  const Scaling scaling = scaling_of<Form::plain>(found, o.per_col, o.eps);
  if (threadIdx.x == 0) o.scales[blockIdx.x] = scaling.scale;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    // A branch is waited for, but keeps the compiler from holding many chunks as float32.
    if (!kIsShort<kHeld> && chunk_of(k) >= chunks) continue;
    float s[kChunk];
    unpack<T>(held[k], s);
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      s[i] *= scaling.factor;
    const uint2 result = common::e4m3_pack(s);
    if (chunk_of(k) < chunks) out[k * blockDim.x] = result;
  }
}

/// The forms with a norm. Its largest value is needed with the sum, so weights are applied on the way in, and
/// the products are held in float32: as large as values and weights together in 16 bits. Needs the same, also
/// of the residual and the weights.
template <class T, int kHeld, Form kForm>
__global__ void __launch_bounds__(kThreads<kForm, kHeld>) norm_held(const Typed<T> o) {
  __shared__ Scratch<kForm, kThreads<kForm, kHeld> / 32> memory;
  const unsigned chunks = o.chunks;
  const auto* x = common::own_vectors(o.x, o.x_step, kVectors<T>);
  const auto* weight = common::own_vectors(o.weight, 0, kVectors<T>);
  uint4* residual =
      kForm == Form::fused_add ? common::own_vectors(o.residual, o.residual_step, kVectors<T>) : nullptr;
  Raw<T> in[kHeld];
  Raw<T> added[kForm == Form::fused_add ? kHeld : 1];
  Raw<T> weights[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    weights[k] = {};
    if (chunk_of(k) < chunks) read<T>(weight, k, weights[k]);
  }
  common::wait_for_previous();
  constexpr bool kSignalFirst = kForm == Form::norm && kIsShort<kHeld>;
  if constexpr (kSignalFirst) common::let_next_start();
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    in[k] = {};
    if (chunk_of(k) < chunks) read<T>(x, k, in[k]);
    if constexpr (kForm == Form::fused_add) {
      added[k] = {};
      if (chunk_of(k) < chunks) read<T>(residual, k, added[k]);
    }
  }
  auto& scratch = common::made_now_shared(memory);
  scratch.open();
  uint2* out = common::made_now(chunks_of_block(o));
  if constexpr (!kSignalFirst) common::let_next_start();
  Found found;
  float s[kHeld][kChunk];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (!kIsShort<kHeld> && chunk_of(k) >= chunks) continue;
    float more[kChunk];
    unpack<T>(in[k], s[k]);
    if constexpr (kForm == Form::fused_add) {
      unpack<T>(added[k], more);
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        s[k][i] += more[i];
      if (chunk_of(k) < chunks) write<T>(s[k], residual, k);
    }
    unpack<T>(weights[k], more);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      found.squares = fmaf(s[k][i], s[k][i], found.squares);
      s[k][i] *= more[i];
    }
    found.most = largest(s[k], found.most);
  }
  found = over_block<kForm>(found, scratch);
  const Scaling scaling = scaling_of<kForm>(found, o.per_col, o.eps);
  if (threadIdx.x == 0) o.scales[blockIdx.x] = scaling.scale;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (!kIsShort<kHeld> && chunk_of(k) >= chunks) continue;
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      s[k][i] *= scaling.factor;
    const uint2 result = common::e4m3_pack(s[k]);
    if (chunk_of(k) < chunks) out[k * blockDim.x] = result;
  }
}

/// One block per row of any length and alignment; the row is read a second time, mostly from the cache.
template <class T, Form kForm>
__global__ void __launch_bounds__(1024) quantize_any(const Typed<T> o) {
  __shared__ Scratch<kForm, 32> scratch;
  common::wait_for_previous();
  scratch.open();
  for (std::int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const T* x = o.x + r * o.x_stride;
    T* residual = kForm == Form::fused_add ? o.residual + r * o.residual_stride : nullptr;
    const auto summed = [&](std::int64_t c) {
      const float s = common::load(x[c]);
      return kForm == Form::fused_add ? s + common::load(residual[c]) : s;
    };
    const auto weighed = [&](float s, std::int64_t c) {
      return kForm == Form::plain ? s : s * common::load(o.weight[c]);
    };
    Found found;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const float s = summed(c);
      found.squares = fmaf(s, s, found.squares);
      found.most = fmaxf(found.most, fabsf(weighed(s, c)));
    }
    found = over_block<kForm>(found, scratch);
    const Scaling scaling = scaling_of<kForm>(found, o.per_col, o.eps);
    if (threadIdx.x == 0) o.scales[r] = scaling.scale;
    for (std::int64_t c = threadIdx.x; c < o.cols; c += blockDim.x) {
      const float s = summed(c);
      if constexpr (kForm == Form::fused_add) common::store(residual[c], s);
      o.out[r * o.out_stride + c] =
          static_cast<std::uint8_t>(common::e4m3_pair(weighed(s, c) * scaling.factor, 0.0F));
    }
    __syncthreads();
  }
  common::let_next_start();
}

}  // namespace kernels::quantize_fp8
