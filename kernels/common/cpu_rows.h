#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/processor.h"

// Loops of the CPU variants over rows. They are compiled once for each level of processors, in a namespace of
// its name, because the levels must not share a function.

namespace kernels::common::inline KERNELS_CPU_LEVEL {

/// Elements that are converted at a time: small enough for the fastest cache, and conversion vectorises apart
/// from arithmetic, but not together with it.
inline constexpr std::int64_t kBlock = 256;

template <class T>
void convert(const T* __restrict from, float* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = to_float(from[i]);
}

/// The way back, rounded to nearest even.
template <class T>
void round_to(const float* __restrict from, T* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    from_float(from[i], to[i]);
}

/// Calls `visit(begin, n)` for blocks of `cols` columns.
template <class Visit>
void for_blocks(std::int64_t cols, Visit visit) {
  for (std::int64_t begin = 0; begin < cols; begin += kBlock)
    visit(begin, cols - begin < kBlock ? cols - begin : kBlock);
}

/// Calls `visit(begin, s, n)` for blocks of a row, converted.
template <class T, class Visit>
void for_converted(const T* row, std::int64_t cols, Visit visit) {
  float s[kBlock];
  for_blocks(cols, [&](std::int64_t begin, std::int64_t n) {
    convert(row + begin, s, n);
    visit(begin, s, n);
  });
}

/// `term(i)` of all i below n, joined by `join`, from `none`. Independent partial results vectorise without
/// permission to reorder, and a long sum loses no accuracy.
template <class Term, class Join>
float joined(std::int64_t n, float none, Term term, Join join) {
  constexpr std::int64_t kLanes = 16;
  float lanes[kLanes];
  for (float& lane : lanes)
    lane = none;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k)
      lanes[k] = join(lanes[k], term(i + k));
  for (; i < n; ++i)
    lanes[0] = join(lanes[0], term(i));
  float all = none;
  for (const float lane : lanes)
    all = join(all, lane);
  return all;
}

template <class Term>
float sum_of(std::int64_t n, Term term) {
  return joined(n, 0.0F, term, [](float a, float b) { return a + b; });
}

/// Calls `run.template operator()<T>()` for the type of the elements: float, Half or Bfloat16.
template <class Run>
void with_type(ElementType type, const Run& run) {
  switch (type) {
    case ElementType::float32:
      return run.template operator()<float>();
    case ElementType::float16:
      return run.template operator()<Half>();
    default:
      return run.template operator()<Bfloat16>();
  }
}

}  // namespace kernels::common::inline KERNELS_CPU_LEVEL
