#include <cmath>

#include "common/cpu_rows.h"
#include "common/parallel.h"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm::KERNELS_CPU_LEVEL {
namespace {

template <class T>
void row(T* out, const T* x, const Operands& o) {
  const auto count = static_cast<double>(o.cols);
  double sum = 0;
  common::for_converted(x, o.cols, [&](std::int64_t, const float* s, std::int64_t n) {
    sum += static_cast<double>(common::sum_of(n, [&](std::int64_t i) { return s[i]; }));
  });
  const auto mean = static_cast<float>(sum / count);
  double squares = 0;
  common::for_converted(x, o.cols, [&](std::int64_t, const float* s, std::int64_t n) {
    squares +=
        static_cast<double>(common::sum_of(n, [&](std::int64_t i) { return (s[i] - mean) * (s[i] - mean); }));
  });
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / count + o.eps));
  const auto* weight = static_cast<const T*>(o.weight);
  const auto* bias = static_cast<const T*>(o.bias);
  common::for_converted(x, o.cols, [&](std::int64_t begin, const float* s, std::int64_t n) {
    float w[common::kBlock];
    float b[common::kBlock] = {};
    common::convert(weight + begin, w, n);
    if (bias != nullptr) common::convert(bias + begin, b, n);
    for (std::int64_t i = 0; i < n; ++i)
      w[i] = (s[i] - mean) * scale * w[i] + b[i];
    common::round_to(w, out + begin, n);
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
  common::with_type(operands.type, [&]<class T>() { rows<T>(operands); });
  return nullptr;
}

}  // namespace kernels::layer_norm::KERNELS_CPU_LEVEL
