#include <cmath>

#include "activation/activation.h"
#include "common/exp.h"
#include "common/parallel.h"
#include "common/processor.h"

namespace kernels::activation::KERNELS_CPU_LEVEL {
namespace {

/// The value whose exponential `apply` needs.
template <Activation kActivation>
float exponent(float v) {
  if constexpr (kActivation == Activation::silu) return -v;
  if constexpr (kActivation == Activation::gelu) return v * v * -0.5F;
  // 0.5 (1 + tanh(u)) = 1 / (1 + e^-2u)
  return -1.59576912F * (v + 0.044715F * v * v * v);
}

/// The distribution of the standard normal from its tail: a polynomial in t = 1 / (1 + p |v|) times e =
/// exp(-v^2 / 2), absolute error below 8e-8. No call, so that loops over it vectorise. Source  Abramowitz &
/// Stegun 1964, 7.1.26, as a distribution.
float normal_cdf(float v, float e) {
  const float t = 1.0F / (1.0F + 0.23164189F * std::fabs(v));
  float tail = t * 0.5307027145F - 0.7265760135F;
  tail = tail * t + 0.7107068705F;
  tail = tail * t - 0.142248368F;
  tail = tail * t + 0.127414796F;
  tail *= t * e;
  return v > 0.0F ? 1.0F - tail : tail;
}

/// The activation of v, with e = exp(exponent(v)).
template <Activation kActivation>
float apply(float v, float e) {
  if constexpr (kActivation == Activation::gelu) return v * normal_cdf(v, e);
  return v / (1.0F + e);
}

/// Columns converted at a time. The steps are loops of their own because conversion, exponential and
/// arithmetic vectorise apart, but not together.
constexpr std::int64_t kBlock = 256;

template <Activation kActivation, class T>
void row(T* __restrict out, const T* __restrict gate, const T* __restrict up, std::int64_t cols) {
  float a[kBlock];
  float b[kBlock];
  float e[kBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kBlock) {
    const std::int64_t n = cols - begin < kBlock ? cols - begin : kBlock;
    for (std::int64_t i = 0; i < n; ++i)
      a[i] = common::to_float(gate[begin + i]);
    for (std::int64_t i = 0; i < n; ++i)
      b[i] = common::to_float(up[begin + i]);
    for (std::int64_t i = 0; i < n; ++i)
      e[i] = exponent<kActivation>(a[i]);
    for (std::int64_t i = 0; i < n; ++i)
      e[i] = common::fast_exp(e[i]);
    for (std::int64_t i = 0; i < n; ++i)
      a[i] = apply<kActivation>(a[i], e[i]) * b[i];
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

}  // namespace kernels::activation::KERNELS_CPU_LEVEL
