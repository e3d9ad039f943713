#include <cmath>

#include "common/exp.h"
#include "common/parallel.h"
#include "common/processor.h"
#include "softmax/softmax.h"

namespace kernels::softmax::KERNELS_CPU_LEVEL {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kLanes = 16;

/// Calls `visit(begin, s, n)` for pieces of a row, converted.
template <class T, class Visit>
void for_pieces(const T* x, std::int64_t cols, Visit visit) {
  float s[kBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kBlock) {
    const std::int64_t n = cols - begin < kBlock ? cols - begin : kBlock;
    for (std::int64_t i = 0; i < n; ++i)
      s[i] = common::to_float(x[begin + i]);
    visit(begin, s, n);
  }
}

float larger(float a, float b) {
  return b > a ? b : a;
}

/// Independent partial results: they vectorise without permission to reorder, and a long sum loses no
/// accuracy.
template <class Term, class Join>
float joined(const float* s, std::int64_t n, float none, Term term, Join join) {
  float lanes[kLanes];
  for (float& lane : lanes)
    lane = none;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k)
      lanes[k] = join(lanes[k], term(s[i + k]));
  for (; i < n; ++i)
    lanes[0] = join(lanes[0], term(s[i]));
  float all = none;
  for (const float lane : lanes)
    all = join(all, lane);
  return all;
}

/// exp, and 0 where `fast_exp` would say 1e-38. NaN stays NaN.
float exponential(float value) {
  return value < -87.0F ? 0.0F : common::fast_exp(value);
}

template <class T>
void row(T* out, const T* x, std::int64_t cols) {
  float largest = -INFINITY;
  for_pieces(x, cols, [&](std::int64_t, const float* s, std::int64_t n) {
    largest = joined(s, n, largest, [](float value) { return value; }, larger);
  });
  double sum = 0;
  for_pieces(x, cols, [&](std::int64_t, const float* s, std::int64_t n) {
    sum += static_cast<double>(joined(
        s, n, 0.0F, [&](float value) { return exponential(value - largest); },
        [](float a, float b) { return a + b; }));
  });
  const auto scale = static_cast<float>(1.0 / sum);
  for_pieces(x, cols, [&](std::int64_t begin, float* s, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
      s[i] = exponential(s[i] - largest) * scale;
    for (std::int64_t i = 0; i < n; ++i)
      common::from_float(s[i], out[begin + i]);
  });
}

template <class T>
void rows(const Operands& o) {
  const auto bytes = 2 * o.rows * o.cols * static_cast<std::int64_t>(sizeof(T));
  common::parallel_for(o.rows, bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      row(static_cast<T*>(o.out) + r * o.out_stride, static_cast<const T*>(o.x) + r * o.x_stride, o.cols);
  });
}

}  // namespace

const char* launch(const Operands& operands, Place) {
  switch (operands.type) {
    case common::ElementType::float32:
      rows<float>(operands);
      break;
    case common::ElementType::float16:
      rows<common::Half>(operands);
      break;
    default:
      rows<common::Bfloat16>(operands);
      break;
  }
  return nullptr;
}

}  // namespace kernels::softmax::KERNELS_CPU_LEVEL
