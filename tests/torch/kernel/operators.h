#pragma once

// The activation kernel of this repository as torch operators: the same launcher below every registration, so
// that what is measured through them differs by nothing but the way of calling.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "activation/activation.h"

namespace torch_kernel {

using kernels::activation::Activation;
using kernels::common::ElementType;

/// What a registration knows of a tensor.
struct View {
  void* data;
  std::int64_t dimensions;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t row_stride;
  ElementType type;
};

inline kernels::activation::Operands operands(const View& out, const View& x) {
  if (out.dimensions != 2 || x.dimensions != 2)
    throw std::invalid_argument("silu_and_mul: two dimensions, please");
  if (out.type != x.type) throw std::invalid_argument("silu_and_mul: `out` and `x` differ in type");
  if (x.cols != 2 * out.cols || x.rows != out.rows)
    throw std::invalid_argument("silu_and_mul: `x` must have twice the columns of `out`");
  return {out.data, x.data, out.rows, out.cols, out.row_stride, x.row_stride, out.type};
}

inline void run(const View& out, const View& x, int device, void* stream) {
  const auto all = operands(out, x);
  if (all.rows == 0) return;
  if (const char* error = kernels::activation::launch(Activation::silu, all, {device, stream});
      error != nullptr)
    throw std::runtime_error(error);
}

inline void run_reference(const View& out, const View& x) {
  kernels::activation::reference(Activation::silu, operands(out, x));
}

// Operators that do what they must not, for the tests of whoever calls them.

inline void refuse(const View&, const View&) {
  throw std::runtime_error("picky: not today");
}
inline void abort_inside(const View&, const View&) {
  std::abort();
}
inline void hang(const View&, const View&) {
  for (;;)
    std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace torch_kernel
