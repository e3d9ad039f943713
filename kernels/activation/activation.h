#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::activation {

enum class Activation : std::uint8_t { silu, gelu, gelu_tanh };

/// The operands of one call; strides in elements.
struct Operands {
  void* out;
  const void* x;
  std::int64_t rows;
  std::int64_t cols;  ///< columns of `out`; `x` has twice as many
  std::int64_t out_stride;
  std::int64_t x_stride;
  common::ElementType type;
};

using common::Place;

/// out[r, c] = activation(x[r, c]) * x[r, cols + c]
///
/// Shapes  x: [rows, 2 * cols], out: [rows, cols], both row-major with a row stride.
/// Types   float32, float16 or bfloat16, one for both; arithmetic in float32, rounded once.
/// Needs   x_stride >= 2 * cols, out_stride >= cols; x and out do not overlap.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. Empty operands are success.
/// Source  Shazeer 2020, arXiv:2002.05202 (gated linear units); Hendrycks & Gimpel 2016, arXiv:1606.08415
/// (GELU).
const char* launch(Activation activation, const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the four element types: what the others are compared with.
void reference(Activation activation, const Operands& operands);

}  // namespace kernels::activation
