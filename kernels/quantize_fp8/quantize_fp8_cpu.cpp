#include <bit>
#include <cmath>

#include "common/parallel.h"
#include "common/processor.h"
#include "quantize_fp8/quantize_fp8.h"

namespace kernels::quantize_fp8::KERNELS_CPU_LEVEL {
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

/// The largest magnitude, `most` at least. NaN is passed over. The bits of numbers that are not negative are
/// ordered as whole numbers, whose largest the compiler finds with vectors.
float largest(const float* values, std::int64_t n, float most) {
  auto bits = std::bit_cast<std::int32_t>(most);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto magnitude = std::bit_cast<std::int32_t>(values[i]) & 0x7fffffff;
    const std::int32_t number = magnitude > 0x7f800000 ? 0 : magnitude;
    bits = number > bits ? number : bits;
  }
  return std::bit_cast<float>(bits);
}

/// One row of the operands.
template <class T>
struct Row {
  common::Float8* out;
  const T* x;
  T* residual;
  const T* weight;
  std::int64_t cols;

  /// s for the columns [begin, begin + n).
  void load(std::int64_t begin, std::int64_t n, float* s) const {
    convert(x + begin, s, n);
    if (residual == nullptr) return;
    float other[kBlock];
    convert(residual + begin, other, n);
    for (std::int64_t i = 0; i < n; ++i)
      s[i] += other[i];
  }

  void weigh(std::int64_t begin, std::int64_t n, float* s) const {
    if (weight == nullptr) return;
    float w[kBlock];
    convert(weight + begin, w, n);
    for (std::int64_t i = 0; i < n; ++i)
      s[i] *= w[i];
  }
};

/// Calls `visit(begin, n)` for blocks of columns.
template <class Visit>
void for_each_block(std::int64_t cols, Visit visit) {
  for (std::int64_t begin = 0; begin < cols; begin += kBlock)
    visit(begin, cols - begin < kBlock ? cols - begin : kBlock);
}

/// Returns the scale. The values are read twice, the second time from the cache.
template <class T>
float quantize(const Row<T>& row, double eps) {
  float s[kBlock];
  double squares = 0;
  float most = 0;
  for_each_block(row.cols, [&](std::int64_t begin, std::int64_t n) {
    row.load(begin, n, s);
    if (row.weight != nullptr) squares += static_cast<double>(sum_of_squares(s, n));
    row.weigh(begin, n, s);
    most = largest(s, n, most);
  });
  const double mean = row.cols > 0 ? squares / static_cast<double>(row.cols) : 0.0;
  const float norm = row.weight == nullptr ? 1.0F : static_cast<float>(1.0 / std::sqrt(mean + eps));
  const float wanted = most * norm * (1.0F / kMost);
  const float scale = wanted > kLeastScale ? wanted : kLeastScale;
  const float factor = norm / scale;
  for_each_block(row.cols, [&](std::int64_t begin, std::int64_t n) {
    row.load(begin, n, s);
    if (row.residual != nullptr)
      for (std::int64_t i = 0; i < n; ++i)
        common::from_float(s[i], row.residual[begin + i]);
    row.weigh(begin, n, s);
    common::Float8* __restrict out = row.out + begin;
    for (std::int64_t i = 0; i < n; ++i)
      common::from_float(s[i] * factor, out[i]);
  });
  return scale;
}

template <class T>
void rows(const Operands& o) {
  auto* out = static_cast<common::Float8*>(o.out);
  auto* scales = static_cast<float*>(o.scales);
  const auto* x = static_cast<const T*>(o.x);
  auto* residual = static_cast<T*>(o.residual);
  const std::int64_t streams = o.residual == nullptr ? 1 : 3;
  const auto bytes = o.rows * o.cols * (streams * static_cast<std::int64_t>(sizeof(T)) + 1);
  common::parallel_for(o.rows, bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const Row<T> row{out + r * o.out_stride, x + r * o.x_stride,
                       residual == nullptr ? nullptr : residual + r * o.residual_stride,
                       static_cast<const T*>(o.weight), o.cols};
      scales[r] = quantize(row, o.eps);
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

}  // namespace kernels::quantize_fp8::KERNELS_CPU_LEVEL
