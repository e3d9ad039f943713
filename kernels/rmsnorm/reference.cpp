#include <cmath>

#include "common/double_view.h"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm {
namespace {

double summed(const Operands& o, std::int64_t r, std::int64_t c) {
  const double x = common::load_double(o.x, o.type, r * o.x_stride + c);
  if (o.residual == nullptr) return x;
  return x + common::load_double(o.residual, o.type, r * o.residual_stride + c);
}

}  // namespace

void reference(const Operands& o) {
  for (std::int64_t r = 0; r < o.rows; ++r) {
    double squares = 0;
    for (std::int64_t c = 0; c < o.cols; ++c)
      squares += summed(o, r, c) * summed(o, r, c);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(o.cols) + o.eps);
    for (std::int64_t c = 0; c < o.cols; ++c) {
      const double s = summed(o, r, c);
      if (o.residual != nullptr) common::store_double(o.residual, o.type, r * o.residual_stride + c, s);
      const double weight = common::load_double(o.weight, o.type, c);
      common::store_double(o.out, o.type, r * o.out_stride + c, s * scale * weight);
    }
  }
}

}  // namespace kernels::rmsnorm
