#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::softmax {

/// The operands of one call; strides in elements.
struct Operands {
  void* out;
  const void* x;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  common::ElementType type;
};

using common::Place;

/// m[r]      = max_c(x[r, c])
/// out[r, c] = exp(x[r, c] - m[r]) / sum_c(exp(x[r, c] - m[r]))
///
/// Shapes  x, out: [rows, cols], row-major with a row stride.
/// Types   float32, float16 or bfloat16, one for both; arithmetic in float32, out rounded once.
/// Ranges  -inf counts as absent; a row of nothing but -inf, with +inf or with NaN becomes NaN.
/// Needs   every row stride >= cols; x == out is allowed, any other overlap is not.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. Empty operands are success.
const char* launch(const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the four element types: what the others are compared with.
void reference(const Operands& operands);

}  // namespace kernels::softmax
