#include "common/parallel.h"
#include "common/processor.h"
#include "rotary/rotary.h"

namespace kernels::rotary::KERNELS_CPU_LEVEL {
namespace {

/// Pairs converted at a time. The steps are loops of their own because conversion and arithmetic vectorise
/// apart, but not together.
constexpr std::int64_t kBlock = 128;

template <class T>
void load(const T* from, float* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = common::to_float(from[i]);
}

template <class T>
void store(const float* __restrict from, T* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    common::from_float(from[i], to[i]);
}

/// Cosines and sines of a block of pairs, for all heads of a token.
struct Angles {
  float cosines[kBlock];
  float sines[kBlock];
};

/// `a` and `b` are the two halves' elements of the block.
template <class T>
void rotate_neox(T* a, T* b, const Angles& angles, std::int64_t n) {
  float left[kBlock];
  float right[kBlock];
  float turned[kBlock];
  load(a, left, n);
  load(b, right, n);
  for (std::int64_t i = 0; i < n; ++i)
    turned[i] = left[i] * angles.cosines[i] - right[i] * angles.sines[i];
  store(turned, a, n);
  for (std::int64_t i = 0; i < n; ++i)
    turned[i] = right[i] * angles.cosines[i] + left[i] * angles.sines[i];
  store(turned, b, n);
}

template <class T>
void rotate_gptj(T* pairs, const Angles& angles, std::int64_t n) {
  float values[2 * kBlock];
  float turned[2 * kBlock];
  load(pairs, values, 2 * n);
  for (std::int64_t i = 0; i < n; ++i) {
    turned[2 * i] = values[2 * i] * angles.cosines[i] - values[2 * i + 1] * angles.sines[i];
    turned[2 * i + 1] = values[2 * i + 1] * angles.cosines[i] + values[2 * i] * angles.sines[i];
  }
  store(turned, pairs, 2 * n);
}

template <Style kStyle, class T>
void rotate(const Heads& which, std::int64_t token, std::int64_t begin, std::int64_t half,
            const Angles& angles, std::int64_t n) {
  T* first = static_cast<T*>(which.data) + token * which.token_stride;
  for (std::int64_t head = 0; head < which.heads; ++head) {
    T* values = first + head * which.head_stride;
    if constexpr (kStyle == Style::neox)
      rotate_neox(values + begin, values + half + begin, angles, n);
    else
      rotate_gptj(values + 2 * begin, angles, n);
  }
}

std::int64_t position_of(const Operands& o, std::int64_t token) {
  return o.position_type == common::ElementType::int32 ? static_cast<const std::int32_t*>(o.positions)[token]
                                                       : static_cast<const std::int64_t*>(o.positions)[token];
}

template <Style kStyle, class T>
void tokens(const Operands& o) {
  const std::int64_t half = o.rotary_dim / 2;
  const std::int64_t heads = o.query.heads + o.key.heads;
  const auto bytes = 2 * o.tokens * heads * o.rotary_dim * static_cast<std::int64_t>(sizeof(T));
  common::parallel_for(o.tokens, bytes, [&](std::int64_t begin_token, std::int64_t end_token) {
    Angles angles;
    for (std::int64_t token = begin_token; token < end_token; ++token) {
      const T* cache = static_cast<const T*>(o.cache) + position_of(o, token) * o.cache_stride;
      for (std::int64_t begin = 0; begin < half; begin += kBlock) {
        const std::int64_t n = half - begin < kBlock ? half - begin : kBlock;
        load(cache + begin, angles.cosines, n);
        load(cache + half + begin, angles.sines, n);
        rotate<kStyle, T>(o.query, token, begin, half, angles, n);
        rotate<kStyle, T>(o.key, token, begin, half, angles, n);
      }
    }
  });
}

template <class T>
void choose(Style style, const Operands& o) {
  if (style == Style::neox)
    tokens<Style::neox, T>(o);
  else
    tokens<Style::gptj, T>(o);
}

}  // namespace

const char* launch(Style style, const Operands& operands, Place) {
  switch (operands.type) {
    case common::ElementType::float32:
      choose<float>(style, operands);
      break;
    case common::ElementType::float16:
      choose<common::Half>(style, operands);
      break;
    default:
      choose<common::Bfloat16>(style, operands);
      break;
  }
  return nullptr;
}

}  // namespace kernels::rotary::KERNELS_CPU_LEVEL
