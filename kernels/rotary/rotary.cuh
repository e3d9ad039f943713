#pragma once

#include <cstdint>

#include "common/held.cuh"
#include "common/vector.cuh"
#include "rotary/rotary.h"

namespace kernels::rotary {

/// Heads with their type; strides in elements.
template <class T>
struct TypedHeads {
  T* data;
  unsigned heads;
  std::int64_t token_stride;
  std::int64_t head_stride;
};

template <class T>
struct Typed {
  TypedHeads<T> query;
  TypedHeads<T> key;
  const void* positions;
  const T* cache;
  std::int64_t tokens;
  std::int64_t cache_stride;
  unsigned half;  ///< pairs of a head
  bool is_long;   ///< positions have 64 bits
};

template <class T>
__device__ const T* cache_row(const Typed<T>& o, std::int64_t token) {
  const std::int64_t position = o.is_long ? static_cast<const std::int64_t*>(o.positions)[token]
                                          : static_cast<const std::int32_t*>(o.positions)[token];
  return o.cache + position * o.cache_stride;
}

/// The first element of a head; those of the key are counted behind those of the query.
template <class T>
__device__ T* head_at(const Typed<T>& o, std::int64_t token, unsigned head) {
  const bool is_query = head < o.query.heads;
  const TypedHeads<T>& which = is_query ? o.query : o.key;
  const unsigned index = is_query ? head : head - o.query.heads;
  return which.data + token * which.token_stride + index * which.head_stride;
}

/// One thread, two vectors: of NeoX heads one of each half, of GPT-J heads two that follow one another. Both
/// have as many pairs as a vector has elements, so their cosines are one vector and their sines another.
/// threadIdx.x counts the vectors of cosines, threadIdx.y and blockIdx.x heads, blockIdx.y tokens and
/// strides. Needs heads and cache aligned to 16 bytes, and half a multiple of the elements in a vector.
template <Style kStyle, class T>
__global__ void __launch_bounds__(256) rotate(const Typed<T> o) {
  constexpr int kWidth = common::kPerVector<T>;
  const unsigned head = blockIdx.x * blockDim.y + threadIdx.y;
  const unsigned v = threadIdx.x;
  const unsigned vectors = blockDim.x;
  if (head >= o.query.heads + o.key.heads) return;
  common::wait_for_previous();
  for (std::int64_t token = blockIdx.y; token < o.tokens; token += gridDim.y) {
    // First, because what it leads to comes last.
    const auto* cache = reinterpret_cast<const uint4*>(cache_row(o, token));
    auto* values = reinterpret_cast<uint4*>(head_at(o, token, head));
    uint4* at_first = values + (kStyle == Style::neox ? v : 2 * v);
    uint4* at_second = at_first + (kStyle == Style::neox ? vectors : 1);
    const uint4 first = *at_first;
    const uint4 second = *at_second;
    float cosines[kWidth];
    float sines[kWidth];
    common::unpack<T>(cache[v], cosines);
    common::unpack<T>(cache[vectors + v], sines);
    common::let_next_start();
    float in[2 * kWidth];
    float out[2 * kWidth];
    float part[kWidth];
    common::unpack<T>(first, part);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      in[i] = part[i];
    common::unpack<T>(second, part);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      in[kWidth + i] = part[i];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const int a = kStyle == Style::neox ? i : 2 * i;
      const int b = kStyle == Style::neox ? kWidth + i : 2 * i + 1;
      out[a] = in[a] * cosines[i] - in[b] * sines[i];
      out[b] = in[b] * cosines[i] + in[a] * sines[i];
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      part[i] = out[i];
    *at_first = common::pack<T>(part);
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      part[i] = out[kWidth + i];
    *at_second = common::pack<T>(part);
  }
}

/// The same pair by pair, for any alignment and size. blockIdx.x counts pieces of a token's pairs, blockIdx.y
/// tokens and strides.
template <Style kStyle, class T>
__global__ void __launch_bounds__(128) rotate_any(const Typed<T> o) {
  const std::int64_t pairs = static_cast<std::int64_t>(o.query.heads + o.key.heads) * o.half;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  common::wait_for_previous();
  for (std::int64_t token = blockIdx.y; token < o.tokens; token += gridDim.y) {
    const T* cache = cache_row(o, token);
    for (std::int64_t pair = begin; pair < pairs; pair += step) {
      const auto head = static_cast<unsigned>(pair / o.half);
      const auto j = static_cast<unsigned>(pair % o.half);
      T* values = head_at(o, token, head);
      T& a = values[kStyle == Style::neox ? j : 2 * j];
      T& b = values[kStyle == Style::neox ? o.half + j : 2 * j + 1];
      const float left = common::load(a);
      const float right = common::load(b);
      const float cosine = common::load(cache[j]);
      const float sine = common::load(cache[o.half + j]);
      common::store(a, left * cosine - right * sine);
      common::store(b, right * cosine + left * sine);
    }
  }
}

}  // namespace kernels::rotary
