#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::quantize_fp8 {

/// The largest float8_e4m3.
inline constexpr float kMost = 448.0F;
/// The smallest scale: a row of zeros, or of values far below 1, is not divided by less. What vLLM does.
inline constexpr float kLeastScale = 1.0F / (kMost * 512.0F);

/// The operands of one call; strides in elements.
struct Operands {
  void* out;     ///< float8_e4m3; of the reference also float64
  void* scales;  ///< float32, one for each row; of the reference also float64
  const void* x;
  void* residual;      ///< null: nothing is added
  const void* weight;  ///< `cols` elements; null: the rows are not normalised
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  double eps;
  common::ElementType type;  ///< of x, residual and weight
  common::ElementType out_type;
  common::ElementType scale_type;
};

using common::Place;

/// s[r, c]   = x[r, c] + residual[r, c]        (with a residual: stored to it; else s = x)
/// n[r, c]   = s[r, c] * rsqrt(mean_c(s[r, c]^2) + eps) * weight[c]      (with a weight; else n = s)
/// scales[r] = max(max_c |n[r, c]| / 448, 1 / (448 * 512))
/// out[r, c] = n[r, c] / scales[r], rounded to nearest even, at most 448
///
/// Shapes  x, residual, out: [rows, cols], row-major with a row stride; weight: [cols]; scales: [rows].
/// Types   x, residual, weight: float32, float16 or bfloat16, one for all; arithmetic in float32. n is not
///         rounded to that type in between.
/// Values  NaN becomes NaN (0x7f) and does not count for the scale; an infinity makes the scale of its row
///         infinite, itself NaN and the others 0.
/// Needs   every row stride >= cols; no two operands overlap.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. No rows are success; rows without columns get the smallest
///         scale.
/// Source  Micikevicius et al. 2022, arXiv:2209.05433 (the format); Zhang & Sennrich 2019, arXiv:1910.07467.
const char* launch(const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the types, with quotients that are not rounded where `out` can
/// hold them: what the others are compared with.
void reference(const Operands& operands);

}  // namespace kernels::quantize_fp8
