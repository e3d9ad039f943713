#include <cmath>

#include "common/parallel.h"
#include "common/processor.h"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm::KERNELS_CPU_LEVEL {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kLanes = 16;

template <class T>
void convert(const T* __restrict from, float* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = common::to_float(from[i]);
}

/// Independent partial sums: they vectorise without permission to reorder, and a long row loses no accuracy.
template <class Term>
float sum_of(std::int64_t n, Term term) {
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k)
      lanes[k] += term(i + k);
  for (; i < n; ++i)
    lanes[0] += term(i);
  float sum = 0;
  for (const float lane : lanes)
    sum += lane;
  return sum;
}

/// Calls `visit(begin, s, n)` for pieces of a row, converted.
template <class T, class Visit>
void for_pieces(const T* x, std::int64_t cols, Visit visit) {
  float s[kBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kBlock) {
    const std::int64_t n = cols - begin < kBlock ? cols - begin : kBlock;
    convert(x + begin, s, n);
    visit(begin, s, n);
  }
}

template <class T>
void row(T* out, const T* x, const Operands& o) {
  const auto count = static_cast<double>(o.cols);
  // Distances from an element, and not from 0, are as small as what the row varies by, and so are their
  // errors.
  const float point = o.cols > 0 ? common::to_float(*x) : 0.0F;
  double sum = 0;
  for_pieces(x, o.cols, [&](std::int64_t, const float* s, std::int64_t n) {
    sum += static_cast<double>(sum_of(n, [&](std::int64_t i) { return s[i] - point; }));
  });
  const auto away = static_cast<float>(sum / count);
  const auto distance = [=](float value) { return value - point - away; };
  double squares = 0;
  for_pieces(x, o.cols, [&](std::int64_t, const float* s, std::int64_t n) {
    squares +=
        static_cast<double>(sum_of(n, [&](std::int64_t i) { return distance(s[i]) * distance(s[i]); }));
  });
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / count + o.eps));
  const auto* weight = static_cast<const T*>(o.weight);
  const auto* bias = static_cast<const T*>(o.bias);
  for_pieces(x, o.cols, [&](std::int64_t begin, const float* s, std::int64_t n) {
    float w[kBlock];
    float b[kBlock] = {};
    convert(weight + begin, w, n);
    if (bias != nullptr) convert(bias + begin, b, n);
    for (std::int64_t i = 0; i < n; ++i)
      w[i] = distance(s[i]) * scale * w[i] + b[i];
    for (std::int64_t i = 0; i < n; ++i)
      common::from_float(w[i], out[begin + i]);
  });
}

template <class T>
void rows(const Operands& o) {
  const auto bytes = 2 * o.rows * o.cols * static_cast<std::int64_t>(sizeof(T));
  common::parallel_for(o.rows, bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      row(static_cast<T*>(o.out) + r * o.out_stride, static_cast<const T*>(o.x) + r * o.x_stride, o);
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

}  // namespace kernels::layer_norm::KERNELS_CPU_LEVEL
