#include <cmath>

#include "activation/activation.h"
#include "common/double_view.h"

namespace kernels::activation {
namespace {

// long double: the 64-bit `exp` of newer C libraries has a symbol version that older systems lack.
double silu(double v) {
  return static_cast<double>(v / (1.0L + std::exp(static_cast<long double>(-v))));
}

double gelu(double v) {
  return 0.5 * v * (1.0 + std::erf(v * 0.70710678118654752440));
}

double gelu_tanh(double v) {
  const double inner = 0.79788456080286535588 * (v + 0.044715 * v * v * v);
  return 0.5 * v * (1.0 + std::tanh(inner));
}

double apply(Activation activation, double v) {
  switch (activation) {
    case Activation::silu:
      return silu(v);
    case Activation::gelu:
      return gelu(v);
    default:
      return gelu_tanh(v);
  }
}

}  // namespace

void reference(Activation activation, const Operands& o) {
  for (std::int64_t r = 0; r < o.rows; ++r) {
    for (std::int64_t c = 0; c < o.cols; ++c) {
      const double gate = common::load_double(o.x, o.type, r * o.x_stride + c);
      const double up = common::load_double(o.x, o.type, r * o.x_stride + o.cols + c);
      common::store_double(o.out, o.type, r * o.out_stride + c, apply(activation, gate) * up);
    }
  }
}

}  // namespace kernels::activation
