#pragma once

#include <cstdint>

#include "common/held.cuh"
#include "common/vector.cuh"
#include "rotary/rotary.h"

namespace kernels::rotary {

/// Heads with their type.
template <class T>
struct TypedHeads {
  T* data;
  unsigned heads;
  // In vectors of 16 bytes; unused where heads are not made of such.
  unsigned token_step;
  unsigned head_step;
};
/// In elements.
struct Strides {
  std::int64_t token;
  std::int64_t head;
};

/// In the order in which kernels need them: the first read of a part of the parameters is waited for.
template <class T>
struct Typed {
  const void* positions;
  unsigned is_long;     ///< 1 if positions have 64 bits, else 0
  unsigned cache_step;  ///< in vectors
  const T* cache;
  TypedHeads<T> query;
  TypedHeads<T> key;
  std::uint64_t cache_rows;  ///< at most 2^31 of positions of 32 bits
  std::int64_t tokens;
  std::uint64_t cache_stride;
  unsigned half;  ///< pairs of a head
  Strides query_strides;
  Strides key_strides;
};

/// A position as it was read: whatever is done to it is waited for, so nothing is until it is needed.
struct Position {
  unsigned low;
  unsigned high = 0;

  /// Not less than 2^31 of negative ones: `cache_rows` keeps them out.
  __device__ std::uint64_t value() {
    common::read_now(low);
    common::read_now(high);
    return std::uint64_t{high} << 32 | low;
  }
};
template <class T>
__device__ Position position_of(const Typed<T>& o, std::uint64_t token) {
  const auto* words = static_cast<const unsigned*>(o.positions) + (token << o.is_long);
  Position position{words[0]};
  if (o.is_long != 0) position.high = words[1];
  return position;
}

/// The first element of a head; those of the key are counted behind those of the query.
template <class T>
__device__ T* head_at(const Typed<T>& o, std::int64_t token, unsigned head) {
  const bool is_query = head < o.query.heads;
  const Strides& strides = is_query ? o.query_strides : o.key_strides;
  const unsigned index = is_query ? head : head - o.query.heads;
  return (is_query ? o.query : o.key).data + token * strides.token + index * strides.head;
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
    common::read_now(first);
    common::read_now(second);
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

/// How `rotate` has the position read first, query and key behind it, and neither wait for the other,
/// although the assembler would move all reads to where they are waited for. It moves none across the
/// instructions of dependent launch. Branches hold some of them back, too, but every warp pays for those.
enum class Order : std::uint8_t {
  signal,   ///< by the signal to the next kernel, which nobody waits for: only where nobody does
  wait,     ///< by the wait for the previous kernel, a second time: quick where there are few blocks
  branches  ///< by branches
};
template <Order kOrder>
__device__ void keep_order() {
  if constexpr (kOrder == Order::signal) common::let_next_start();
  if constexpr (kOrder == Order::wait) common::wait_for_previous();
}

/// A thread turns the same pairs of up to `kHeads` heads with cosines that it reads once. threadIdx.x counts
/// the vectors of cosines, threadIdx.y and blockIdx.x heads, in steps of blockDim.y, blockIdx.y tokens.
/// Needs heads and cache aligned to 16 bytes, and half a multiple of the elements in a vector. Takes part in
/// dependent launch unless `kOrder` is `signal`.
template <Style kStyle, class T, int kHeads, Order kOrder>
__global__ void __launch_bounds__(256, kHeads == 1 ? 8 : 5) rotate(const Typed<T> o) {
  // What two heads of GPT-J hold leaves no registers for the addresses of a second head ahead of its branch.
  constexpr bool kBranches = kOrder == Order::branches || (kHeads > 1 && kStyle == Style::gptj);
  const unsigned first = blockIdx.x * blockDim.y * kHeads + threadIdx.y;
  const unsigned heads = o.query.heads + o.key.heads;
  const unsigned v = threadIdx.x;
  const unsigned vectors = blockDim.x;
  common::wait_for_previous();
  // First, because what it leads to comes last.
  Position position = position_of(o, blockIdx.y);
  keep_order<kOrder>();
  const auto* cache = common::made_now(reinterpret_cast<const uint4*>(o.cache) + v);
  // Threads behind the last head read it, too, and keep nothing of it.
  Pairs<kStyle, T> pairs[kHeads];
#pragma unroll
  for (int i = 0; i < kHeads; ++i) {
    const unsigned head = first + i * blockDim.y;
    if constexpr (kBranches) {
      if (head < heads) pairs[i].read(vectors_of_head(o, blockIdx.y, head), v, vectors);
    } else {
      pairs[i].read(vectors_of_head(o, blockIdx.y, min(head, heads - 1)), v, vectors);
    }
    keep_order<kOrder>();
  }
  const std::uint64_t row = position.value();
  if (row >= o.cache_rows) return;
  cache += row * o.cache_step;
  const uint4 cosines = cache[0];
  const uint4 sines = cache[vectors];
  common::let_next_start(kOrder != Order::signal);
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
    const std::uint64_t row = position_of(o, token).value();
    if (row >= o.cache_rows) continue;
    const T* cache = o.cache + row * o.cache_stride;
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
