#pragma once

#include <cstdint>

#include "common/float8.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"
#include "quantize_fp8/quantize_fp8.h"

namespace kernels::quantize_fp8 {

/// Operands with their type; strides in elements.
template <class T>
struct Typed {
  std::uint8_t* out;
  float* scales;
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
__device__ void read(const T* row, unsigned chunk, Raw<T>& raw) {
  const auto* vectors = reinterpret_cast<const uint4*>(row) + static_cast<std::size_t>(chunk) * kVectors<T>;
#pragma unroll
  for (int i = 0; i < kVectors<T>; ++i)
    raw.vectors[i] = vectors[i];
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
__device__ void write(const float (&in)[kChunk], T* row, unsigned chunk) {
  constexpr int kWidth = common::kPerVector<T>;
  auto* vectors = reinterpret_cast<uint4*>(row) + static_cast<std::size_t>(chunk) * kVectors<T>;
#pragma unroll
  for (int i = 0; i < kVectors<T>; ++i) {
    float part[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k)
      part[k] = in[i * kWidth + k];
    vectors[i] = common::pack<T>(part);
  }
}

/// The chunks of one row that a thread holds, as others hold vectors.
__device__ inline unsigned chunk_of(int held) {
  return common::vector_of(held);
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

/// Shared memory for `over_block`.
struct Scratch {
  float most[32];
  float squares[32];
};

/// The same over all threads of a block, returned to all of them, with one barrier: every warp goes over what
/// the warps found. blockDim.x is a multiple of 32, at most 1024.
template <Form kForm>
__device__ Found over_block(Found found, Scratch& scratch) {
  const unsigned warp = threadIdx.x / 32;
  const unsigned lane = threadIdx.x % 32;
  found.most = warp_most(found.most);
  if constexpr (kForm != Form::plain) found.squares = common::warp_sum(found.squares);
  if (lane == 0) {
    scratch.most[warp] = found.most;
    if constexpr (kForm != Form::plain) scratch.squares[warp] = found.squares;
  }
  __syncthreads();
  const bool has_warp = lane < blockDim.x / 32;
  found.most = warp_most(has_warp ? scratch.most[lane] : 0.0F);
  if constexpr (kForm != Form::plain)
    found.squares = common::warp_sum(has_warp ? scratch.squares[lane] : 0.0F);
  return found;
}

/// The scale of a row, and what its values are multiplied by.
struct Scaling {
  float scale;
  float factor;
};

template <Form kForm>
__device__ Scaling scaling_of(const Found& found, std::int64_t cols, float eps) {
  float norm = 1.0F;
  if constexpr (kForm != Form::plain)
    norm = cols > 0 ? rsqrtf(found.squares / static_cast<float>(cols) + eps) : 1.0F;
  const float scale = fmaxf(found.most * norm * (1.0F / kMost), kLeastScale);
  return {scale, __fdividef(norm, scale)};
}

/// One block per row, which stays in registers as it was read, so memory is read once. Needs rows of x
/// aligned to 16 bytes and those of out to 8, a multiple of 8 columns, cols <= kHeld * blockDim.x * 8 and a
/// block for each row.
template <class T, int kHeld>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) quantize_held(const Typed<T> o) {
  __shared__ Scratch scratch;
  const auto chunks = static_cast<unsigned>(o.cols / kChunk);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  const T* x = o.x + r * o.x_stride;
  Raw<T> held[kHeld];
  common::wait_for_previous();
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (chunk_of(k) < chunks)
      read(x, chunk_of(k), held[k]);
    else
      held[k] = {};
  common::let_next_start();
  Found found;
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    found.most = largest(held[k], found.most);
  found = over_block<Form::plain>(found, scratch);
  const Scaling scaling = scaling_of<Form::plain>(found, o.cols, o.eps);
  if (threadIdx.x == 0) o.scales[r] = scaling.scale;
  auto* out = reinterpret_cast<uint2*>(o.out + r * o.out_stride);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (chunk_of(k) >= chunks) continue;
    float s[kChunk];
    unpack<T>(held[k], s);
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      s[i] *= scaling.factor;
    out[chunk_of(k)] = common::e4m3_pack(s);
  }
}

/// The forms with a norm. Its largest value is needed with the sum, so weights are applied on the way in, and
/// the products are held in float32: as large as values and weights together in 16 bits. Needs the same, also
/// of the residual and the weights.
template <class T, int kHeld, Form kForm>
__global__ void __launch_bounds__(common::kThreadsHeld<kHeld>) norm_held(const Typed<T> o) {
  __shared__ Scratch scratch;
  const auto chunks = static_cast<unsigned>(o.cols / kChunk);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  const T* x = o.x + r * o.x_stride;
  T* residual = kForm == Form::fused_add ? o.residual + r * o.residual_stride : nullptr;
  Raw<T> in[kHeld];
  Raw<T> added[kForm == Form::fused_add ? kHeld : 1];
  Raw<T> weights[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (chunk_of(k) < chunks) read(o.weight, chunk_of(k), weights[k]);
  common::wait_for_previous();
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    if (chunk_of(k) < chunks) {
      read(x, chunk_of(k), in[k]);
      if constexpr (kForm == Form::fused_add) read<T>(residual, chunk_of(k), added[k]);
    }
  common::let_next_start();
  Found found;
  float s[kHeld][kChunk];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (chunk_of(k) >= chunks) continue;
    float more[kChunk];
    unpack<T>(in[k], s[k]);
    if constexpr (kForm == Form::fused_add) {
      unpack<T>(added[k], more);
#pragma unroll
      for (int i = 0; i < kChunk; ++i)
        s[k][i] += more[i];
      write(s[k], residual, chunk_of(k));
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
  const Scaling scaling = scaling_of<kForm>(found, o.cols, o.eps);
  if (threadIdx.x == 0) o.scales[r] = scaling.scale;
  auto* out = reinterpret_cast<uint2*>(o.out + r * o.out_stride);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (chunk_of(k) >= chunks) continue;
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      s[k][i] *= scaling.factor;
    out[chunk_of(k)] = common::e4m3_pack(s[k]);
  }
}

/// One block per row of any length and alignment; the row is read a second time, mostly from the cache.
template <class T, Form kForm>
__global__ void __launch_bounds__(1024) quantize_any(const Typed<T> o) {
  __shared__ Scratch scratch;
  common::wait_for_previous();
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
    const Scaling scaling = scaling_of<kForm>(found, o.cols, o.eps);
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
