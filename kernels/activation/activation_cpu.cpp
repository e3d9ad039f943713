#include <cmath>

#include "activation/activation.h"
#include "common/cpu_rows.h"
#include "common/exp.h"
#include "common/parallel.h"

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

/// The steps are loops of their own: conversion, exponential and arithmetic vectorise apart, but not
/// together.
template <Activation kActivation, class T>
void row(T* out, const T* gate, const T* up, std::int64_t cols) {
  float a[common::kBlock];
  float b[common::kBlock];
  float e[common::kBlock];
  common::for_blocks(cols, [&](std::int64_t begin, std::int64_t n) {
    common::convert(gate + begin, a, n);
    common::convert(up + begin, b, n);
    for (std::int64_t i = 0; i < n; ++i)
      e[i] = exponent<kActivation>(a[i]);
    for (std::int64_t i = 0; i < n; ++i)
      e[i] = common::fast_exp(e[i]);
    for (std::int64_t i = 0; i < n; ++i)
      a[i] = apply<kActivation>(a[i], e[i]) * b[i];
    common::round_to(a, out + begin, n);
  });
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
  common::with_type(operands.type, [&]<class T>() { choose<T>(activation, operands); });
  return nullptr;
}

}  // namespace kernels::activation::KERNELS_CPU_LEVEL
