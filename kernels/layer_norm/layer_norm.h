#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::layer_norm {

/// The operands of one call; strides in elements.
struct Operands {
  void* out;
  const void* x;
  const void* weight;  ///< `cols` elements
  const void* bias;    ///< `cols` elements, or null
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  double eps;
  common::ElementType type;
};

using common::Place;

/// mean[r]   = mean_c(x[r, c])
/// out[r, c] = (x[r, c] - mean[r]) * rsqrt(mean_c((x[r, c] - mean[r])^2) + eps) * weight[c] + bias[c]
///
/// Shapes  x, out: [rows, cols], row-major with a row stride; weight, bias: [cols].
/// Types   float32, float16 or bfloat16, one for all; arithmetic in float32, out rounded once.
/// Needs   every row stride >= cols; x == out is allowed, any other overlap is not.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. Empty operands are success.
/// Source  Ba, Kiros & Hinton 2016, arXiv:1607.06450, equation 4 with a bias and eps.
const char* launch(const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the four element types: what the others are compared with.
void reference(const Operands& operands);

}  // namespace kernels::layer_norm
