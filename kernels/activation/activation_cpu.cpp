#include <cmath>

#include "activation/activation.h"
#include "common/exp.h"
#include "common/parallel.h"

namespace kernels::activation {
namespace {

template <Activation kActivation>
float apply(float v) {
  if constexpr (kActivation == Activation::silu) {
    return v / (1.0F + common::fast_exp(-v));
  } else if constexpr (kActivation == Activation::gelu) {
    return 0.5F * v * (1.0F + std::erf(v * 0.70710678F));
  } else {
    // 0.5 (1 + tanh(u)) = 1 / (1 + e^-2u)
    const float inner = 1.59576912F * (v + 0.044715F * v * v * v);
    return v / (1.0F + common::fast_exp(-inner));
  }
}

/// Columns converted at a time. The three steps are loops of their own because conversion and arithmetic
/// vectorise apart, but not together.
constexpr std::int64_t kBlock = 256;

template <Activation kActivation, class T>
void row(T* __restrict out, const T* __restrict gate, const T* __restrict up, std::int64_t cols) {
  float a[kBlock];
  float b[kBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kBlock) {
    const std::int64_t n = cols - begin < kBlock ? cols - begin : kBlock;
    for (std::int64_t i = 0; i < n; ++i)
      a[i] = common::to_float(gate[begin + i]);
    for (std::int64_t i = 0; i < n; ++i)
      b[i] = common::to_float(up[begin + i]);
    for (std::int64_t i = 0; i < n; ++i)
      a[i] = apply<kActivation>(a[i]) * b[i];
    for (std::int64_t i = 0; i < n; ++i)
      common::from_float(a[i], out[begin + i]);
  }
}

template <Activation kActivation, class T>
void rows(const Operands& o) {
  auto* out = static_cast<T*>(o.out);
  const auto* x = static_cast<const T*>(o.x);
  const auto bytes = 3 * o.rows * o.cols * static_cast<std::int64_t>(sizeof(T));
  common::parallel_for(o.rows, bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      row<kActivation>(out + r * o.out_stride, x + r * o.x_stride, x + r * o.x_stride + o.cols, o.cols);
  });
}

template <class T>
void choose(Activation activation, const Operands& o) {
  switch (activation) {
    case Activation::silu:
      return rows<Activation::silu, T>(o);
    case Activation::gelu:
      return rows<Activation::gelu, T>(o);
    case Activation::gelu_tanh:
      return rows<Activation::gelu_tanh, T>(o);
  }
}

}  // namespace

const char* launch(Activation activation, const Operands& operands, Place) {
  switch (operands.type) {
    case common::ElementType::float32:
      choose<float>(activation, operands);
      break;
    case common::ElementType::float16:
      choose<common::Half>(activation, operands);
      break;
    default:
      choose<common::Bfloat16>(activation, operands);
      break;
  }
  return nullptr;
}

}  // namespace kernels::activation
