#include <cmath>

#include "common/cpu_rows.h"
#include "common/parallel.h"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm::KERNELS_CPU_LEVEL {
namespace {

/// s for the columns [begin, begin + n) of one row.
template <class T>
void load_block(const T* x, const T* residual, std::int64_t n, float* s) {
  common::convert(x, s, n);
  if (residual == nullptr) return;
  float other[common::kBlock];
  common::convert(residual, other, n);
  for (std::int64_t i = 0; i < n; ++i)
    s[i] += other[i];
}

template <class T>
void row(T* out, const T* x, T* residual, const T* weight, const Operands& o) {
  const auto load = [&](std::int64_t begin, std::int64_t n, float* s) {
    load_block(x + begin, residual == nullptr ? nullptr : residual + begin, n, s);
  };
  double squares = 0;
  float s[common::kBlock];
  float w[common::kBlock];
  common::for_blocks(o.cols, [&](std::int64_t begin, std::int64_t n) {
    load(begin, n, s);
    squares += static_cast<double>(common::sum_of(n, [&](std::int64_t i) { return s[i] * s[i]; }));
  });
  const auto scale = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(o.cols) + o.eps));
  common::for_blocks(o.cols, [&](std::int64_t begin, std::int64_t n) {
    load(begin, n, s);
    common::convert(weight + begin, w, n);
    if (residual != nullptr) common::round_to(s, residual + begin, n);
    for (std::int64_t i = 0; i < n; ++i)
      s[i] = s[i] * scale * w[i];
    common::round_to(s, out + begin, n);
  });
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
  common::with_type(operands.type, [&]<class T>() { rows<T>(operands); });
  return nullptr;
}

}  // namespace kernels::rmsnorm::KERNELS_CPU_LEVEL
