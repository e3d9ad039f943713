#include <cmath>

#include "common/double_view.h"
#include "quantize_fp8/quantize_fp8.h"

namespace kernels::quantize_fp8 {
namespace {

double summed(const Operands& o, std::int64_t r, std::int64_t c) {
  const double x = common::load_double(o.x, o.type, r * o.x_stride + c);
  if (o.residual == nullptr) return x;
  return x + common::load_double(o.residual, o.type, r * o.residual_stride + c);
}

/// What the values of a row are multiplied by before their weights.
double norm_factor(const Operands& o, std::int64_t r) {
  if (o.weight == nullptr) return 1.0;
  double squares = 0;
  for (std::int64_t c = 0; c < o.cols; ++c)
    squares += summed(o, r, c) * summed(o, r, c);
  return 1.0 / std::sqrt(squares / static_cast<double>(o.cols) + o.eps);
}

double normalised(const Operands& o, std::int64_t r, std::int64_t c, double factor) {
  const double weight = o.weight == nullptr ? 1.0 : common::load_double(o.weight, o.type, c);
  return summed(o, r, c) * factor * weight;
}

}  // namespace

void reference(const Operands& o) {
  constexpr double kLargest = kMost;
  for (std::int64_t r = 0; r < o.rows; ++r) {
    const double factor = norm_factor(o, r);
    double most = 0;
    for (std::int64_t c = 0; c < o.cols; ++c)
      most = std::fmax(most, std::fabs(normalised(o, r, c, factor)));
    const double scale = std::fmax(most / kLargest, 1.0 / (kLargest * 512.0));
    common::store_double(o.scales, o.scale_type, r, scale);
    for (std::int64_t c = 0; c < o.cols; ++c) {
      const double quotient = normalised(o, r, c, factor) / scale;
      if (o.residual != nullptr)
        common::store_double(o.residual, o.type, r * o.residual_stride + c, summed(o, r, c));
      common::store_double(o.out, o.out_type, r * o.out_stride + c, quotient);
    }
  }
}

}  // namespace kernels::quantize_fp8
