#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::rmsnorm {

/// The operands of one call; strides in elements.
struct Operands {
  void* out;  ///< the plain form writes here; the fused form writes to `x`, and this is `x`
  const void* x;
  void* residual;      ///< null in the plain form
  const void* weight;  ///< `cols` elements
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  double eps;
  common::ElementType type;
};

using common::Place;

/// s[r, c]   = x[r, c]                        (plain)
/// s[r, c]   = x[r, c] + residual[r, c]       (fused; stored to residual)
/// out[r, c] = s[r, c] * rsqrt(mean_c(s[r, c]^2) + eps) * weight[c]
///
/// Shapes  x, residual, out: [rows, cols], row-major with a row stride; weight: [cols].
/// Types   float32, float16 or bfloat16, one for all; sums in float32, out rounded once.
/// Needs   every row stride >= cols; x == out is allowed, any other overlap is not.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. Empty operands are success.
/// Source  Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
const char* launch(const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the four element types: what the others are compared with.
void reference(const Operands& operands);

}  // namespace kernels::rmsnorm
