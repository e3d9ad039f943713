#include <cmath>

#include "common/double_view.h"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm {

void reference(const Operands& o) {
  for (std::int64_t r = 0; r < o.rows; ++r) {
    const auto x = [&](std::int64_t c) { return common::load_double(o.x, o.type, r * o.x_stride + c); };
    double sum = 0;
    for (std::int64_t c = 0; c < o.cols; ++c)
      sum += x(c);
    const double mean = sum / static_cast<double>(o.cols);
    double squares = 0;
    for (std::int64_t c = 0; c < o.cols; ++c)
      squares += (x(c) - mean) * (x(c) - mean);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(o.cols) + o.eps);
    for (std::int64_t c = 0; c < o.cols; ++c) {
      const double bias = o.bias == nullptr ? 0 : common::load_double(o.bias, o.type, c);
      const double weight = common::load_double(o.weight, o.type, c);
      common::store_double(o.out, o.type, r * o.out_stride + c, (x(c) - mean) * scale * weight + bias);
    }
  }
}

}  // namespace kernels::layer_norm
