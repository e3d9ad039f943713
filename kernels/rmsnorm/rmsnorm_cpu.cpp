#include <cmath>

#include "common/parallel.h"
#include "common/processor.h"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm::KERNELS_CPU_LEVEL {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int64_t kLanes = 16;

template <class T>
void convert(const T* __restrict from, float* __restrict to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = common::to_float(from[i]);
}

/// Independent partial sums: they vectorise without permission to reorder, and a long row loses no accuracy.
float sum_of_squares(const float* values, std::int64_t n) {
  float lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k)
      lanes[k] += values[i + k] * values[i + k];
  for (; i < n; ++i)
    lanes[0] += values[i] * values[i];
  float sum = 0;
  for (const float lane : lanes)
    sum += lane;
  return sum;
}

/// s for the columns [begin, begin + n) of one row.
template <class T>
void load_block(const T* x, const T* residual, std::int64_t n, float* s) {
  convert(x, s, n);
  if (residual == nullptr) return;
  float other[kBlock];
  convert(residual, other, n);
  for (std::int64_t i = 0; i < n; ++i)
    s[i] += other[i];
}

template <class T>
void row(T* out, const T* x, T* residual, const T* weight, const Operands& o) {
  double squares = 0;
  float s[kBlock];
  float w[kBlock];
  for (std::int64_t begin = 0; begin < o.cols; begin += kBlock) {
    const std::int64_t n = o.cols - begin < kBlock ? o.cols - begin : kBlock;
    load_block(x + begin, residual == nullptr ? nullptr : residual + begin, n, s);
    squares += static_cast<double>(sum_of_squares(s, n));
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(o.cols) + o.eps));
  for (std::int64_t begin = 0; begin < o.cols; begin += kBlock) {
    const std::int64_t n = o.cols - begin < kBlock ? o.cols - begin : kBlock;
    load_block(x + begin, residual == nullptr ? nullptr : residual + begin, n, s);
    convert(weight + begin, w, n);
    if (residual != nullptr)
      for (std::int64_t i = 0; i < n; ++i)
        common::from_float(s[i], residual[begin + i]);
    for (std::int64_t i = 0; i < n; ++i)
      common::from_float(s[i] * scale * w[i], out[begin + i]);
  }
}

template <class T>
void rows(const Operands& o) {
  const std::int64_t streams = o.residual == nullptr ? 2 : 4;
  const auto bytes = streams * o.rows * o.cols * static_cast<std::int64_t>(sizeof(T));
  common::parallel_for(o.rows, bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      T* residual = o.residual == nullptr ? nullptr : static_cast<T*>(o.residual) + r * o.residual_stride;
      row(static_cast<T*>(o.out) + r * o.out_stride, static_cast<const T*>(o.x) + r * o.x_stride, residual,
          static_cast<const T*>(o.weight), o);
    }
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

}  // namespace kernels::rmsnorm::KERNELS_CPU_LEVEL
