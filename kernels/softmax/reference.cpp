#include <cmath>

#include "common/double_view.h"
#include "softmax/softmax.h"

namespace kernels::softmax {
namespace {

// long double: the 64-bit `exp` of newer C libraries has a symbol version that older systems lack.
double exponential(double value) {
  return static_cast<double>(std::exp(static_cast<long double>(value)));
}

}  // namespace

void reference(const Operands& o) {
  for (std::int64_t r = 0; r < o.rows; ++r) {
    const auto x = [&](std::int64_t c) { return common::load_double(o.x, o.type, r * o.x_stride + c); };
    double largest = -HUGE_VAL;
    for (std::int64_t c = 0; c < o.cols; ++c)
      largest = x(c) > largest ? x(c) : largest;
    double sum = 0;
    for (std::int64_t c = 0; c < o.cols; ++c)
      sum += exponential(x(c) - largest);
    for (std::int64_t c = 0; c < o.cols; ++c)
      common::store_double(o.out, o.type, r * o.out_stride + c, exponential(x(c) - largest) / sum);
  }
}

}  // namespace kernels::softmax
