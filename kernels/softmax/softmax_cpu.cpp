#include <cmath>

#include "common/cpu_rows.h"
#include "common/exp.h"
#include "common/parallel.h"
#include "softmax/softmax.h"

namespace kernels::softmax::KERNELS_CPU_LEVEL {
namespace {

float larger(float a, float b) {
  return b > a ? b : a;
}

/// exp, and 0 where `fast_exp` would say 1e-38. NaN stays NaN.
float exponential(float value) {
  return value < -87.0F ? 0.0F : common::fast_exp(value);
}

template <class T>
void row(T* out, const T* x, std::int64_t cols) {
  float largest = -INFINITY;
  common::for_converted(x, cols, [&](std::int64_t, const float* s, std::int64_t n) {
    largest = common::joined(n, largest, [&](std::int64_t i) { return s[i]; }, larger);
  });
  double sum = 0;
  common::for_converted(x, cols, [&](std::int64_t, const float* s, std::int64_t n) {
    sum +=
        static_cast<double>(common::sum_of(n, [&](std::int64_t i) { return exponential(s[i] - largest); }));
  });
  const auto scale = static_cast<float>(1.0 / sum);
  common::for_converted(x, cols, [&](std::int64_t begin, float* s, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
      s[i] = exponential(s[i] - largest) * scale;
    common::round_to(s, out + begin, n);
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
  common::with_type(operands.type, [&]<class T>() { rows<T>(operands); });
  return nullptr;
}

}  // namespace kernels::softmax::KERNELS_CPU_LEVEL
