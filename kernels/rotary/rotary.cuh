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
  // In vectors of 16 bytes; unused where heads are not made of such.
  unsigned token_step;
  unsigned head_step;
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
  unsigned cache_step;  ///< in vectors
  unsigned half;        ///< pairs of a head
  bool is_long;         ///< positions have 64 bits
};

template <class T>
__device__ std::int64_t position_of(const Typed<T>& o, std::int64_t token) {
  return o.is_long ? static_cast<const std::int64_t*>(o.positions)[token]
                   : static_cast<const std::int32_t*>(o.positions)[token];
}

/// The first element of a head; those of the key are counted behind those of the query.
template <class T>
__device__ T* head_at(const Typed<T>& o, std::int64_t token, unsigned head) {
  const bool is_query = head < o.query.heads;
  const TypedHeads<T>& which = is_query ? o.query : o.key;
  const unsigned index = is_query ? head : head - o.query.heads;
  return which.data + token * which.token_stride + index * which.head_stride;
}

/// The same in vectors of 16 bytes.
template <class T>
__device__ uint4* vectors_of_head(const Typed<T>& o, unsigned token, unsigned head) {
  const bool is_query = head < o.query.heads;
  const TypedHeads<T>& which = is_query ? o.query : o.key;
  const unsigned index = is_query ? head : head - o.query.heads;
  return reinterpret_cast<uint4*>(which.data) + static_cast<std::uint64_t>(token) * which.token_step +
         static_cast<std::uint64_t>(index) * which.head_step;
}

/// Turns the pairs (low[i], high[i]) of two words by the angles of two others.
template <class T>
__device__ void turn_words(unsigned& low, unsigned& high, unsigned cosines, unsigned sines) {
  constexpr int kElements = common::kPerWord<T>;
  float a[kElements];
  float b[kElements];
  float cosine[kElements];
  float sine[kElements];
  common::unpack_word<T>(low, a);
  common::unpack_word<T>(high, b);
  common::unpack_word<T>(cosines, cosine);
  common::unpack_word<T>(sines, sine);
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const float left = a[i];
    a[i] = left * cosine[i] - b[i] * sine[i];
    b[i] = b[i] * cosine[i] + left * sine[i];
  }
  low = common::pack_word<T>(a);
  high = common::pack_word<T>(b);
}

/// Elements of 16 bits that alternate in two words: those at even places, and those at odd ones.
__device__ inline unsigned evens_of(unsigned first, unsigned second) {
  return (first & 0xffffU) | (second << 16);
}
__device__ inline unsigned odds_of(unsigned first, unsigned second) {
  return (first >> 16) | (second & 0xffff0000U);
}

/// Turns pairs that lie side by side in two words: as many as a word has elements.
template <class T>
__device__ void turn_alternating(unsigned& first, unsigned& second, unsigned cosines, unsigned sines) {
  if constexpr (sizeof(T) == 4) {
    turn_words<T>(first, second, cosines, sines);
  } else {
    unsigned low = evens_of(first, second);
    unsigned high = odds_of(first, second);
    turn_words<T>(low, high, cosines, sines);
    first = evens_of(low, high);
    second = odds_of(low, high);
  }
}

/// The two vectors of a head that one thread turns: of NeoX heads one of each half, of GPT-J heads two that
/// follow one another. Both have as many pairs as a vector has elements. Word by word, so that few registers
/// hold elements as float32.
template <Style kStyle, class T>
struct Pairs {
  uint4* at;
  uint4 first;
  uint4 second;

  __device__ static unsigned apart(unsigned vectors) { return kStyle == Style::neox ? vectors : 1; }

  __device__ void read(uint4* head, unsigned vector, unsigned vectors) {
    at = head + (kStyle == Style::neox ? vector : 2 * vector);
    first = at[0];
    second = at[apart(vectors)];
  }

  __device__ void turn(const uint4& cosines, const uint4& sines, unsigned vectors) {
    if constexpr (kStyle == Style::neox) {
      turn_words<T>(first.x, second.x, cosines.x, sines.x);
      turn_words<T>(first.y, second.y, cosines.y, sines.y);
      turn_words<T>(first.z, second.z, cosines.z, sines.z);
      turn_words<T>(first.w, second.w, cosines.w, sines.w);
    } else {
      turn_alternating<T>(first.x, first.y, cosines.x, sines.x);
      turn_alternating<T>(first.z, first.w, cosines.y, sines.y);
      turn_alternating<T>(second.x, second.y, cosines.z, sines.z);
      turn_alternating<T>(second.z, second.w, cosines.w, sines.w);
    }
    at[0] = first;
    at[apart(vectors)] = second;
  }
};

/// A thread turns the same pairs of up to `kHeads` heads with cosines that it reads once. threadIdx.x counts
/// the vectors of cosines, threadIdx.y and blockIdx.x heads, in steps of blockDim.y, blockIdx.y tokens.
/// Needs heads and cache aligned to 16 bytes, and half a multiple of the elements in a vector.
template <Style kStyle, class T, int kHeads>
__global__ void __launch_bounds__(256, kHeads == 1 ? 8 : 5) rotate(const Typed<T> o) {
  const unsigned first = blockIdx.x * blockDim.y * kHeads + threadIdx.y;
  const unsigned heads = o.query.heads + o.key.heads;
  const unsigned v = threadIdx.x;
  const unsigned vectors = blockDim.x;
  if (first >= heads) return;
  common::wait_for_previous();
  // First, because what it leads to comes last.
  const auto position = static_cast<std::uint64_t>(position_of(o, blockIdx.y));
  Pairs<kStyle, T> pairs[kHeads];
#pragma unroll
  for (int i = 0; i < kHeads; ++i)
    if (first + i * blockDim.y < heads)
      pairs[i].read(vectors_of_head(o, blockIdx.y, first + i * blockDim.y), v, vectors);
  const auto* cache = reinterpret_cast<const uint4*>(o.cache) + position * o.cache_step + v;
  const uint4 cosines = cache[0];
  const uint4 sines = cache[vectors];
  common::let_next_start();
#pragma unroll
  for (int i = 0; i < kHeads; ++i)
    if (first + i * blockDim.y < heads) pairs[i].turn(cosines, sines, vectors);
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
    const T* cache = o.cache + position_of(o, token) * o.cache_stride;
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
