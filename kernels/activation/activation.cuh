#pragma once

#include <cstdint>

#include "activation/activation.h"
#include "common/approximate.cuh"
#include "common/held.cuh"
#include "common/vector.cuh"

namespace kernels::activation {

/// Operands with their type; strides in elements.
template <class T>
struct Typed {
  T* __restrict__ out;
  const T* __restrict__ x;
  // In vectors of 16 bytes; unused where rows are not made of such.
  unsigned out_step;
  unsigned x_step;
  unsigned vectors;  ///< in a row of `out`
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
};

/// The distribution of the standard normal: a polynomial in t = 1 / (1 + p |v|) times exp(-v^2 / 2), absolute
/// error below 8e-8. Computed from the tail, so that nothing cancels where v is far below 0, as it does in 1
/// + erf. Source  Abramowitz & Stegun 1964, 7.1.26, as a distribution.
__device__ inline float normal_cdf(float v) {
  constexpr float kHalfLog2E = 0.72134752F;
  const float t = common::approximate_reciprocal(fmaf(0.23164189F, fabsf(v), 1.0F));
  const float e = common::approximate_exp2(v * v * -kHalfLog2E);
  float tail = fmaf(t, 0.5307027145F, -0.7265760135F);
  tail = fmaf(tail, t, 0.7107068705F);
  tail = fmaf(tail, t, -0.142248368F);
  tail = fmaf(tail, t, 0.127414796F);
  tail *= t * e;
  return v > 0.0F ? 1.0F - tail : tail;
}

__device__ inline float logistic(float v) {
  constexpr float kLog2E = 1.44269504F;
  return common::approximate_reciprocal(1.0F + common::approximate_exp2(v * -kLog2E));
}

template <Activation kActivation>
__device__ float apply(float v) {
  if constexpr (kActivation == Activation::silu) {
    return v * logistic(v);
  } else if constexpr (kActivation == Activation::gelu) {
    return v * normal_cdf(v);
  } else {
    const float inner = 1.59576912F * (v + 0.044715F * v * v * v);
    return v * logistic(inner);
  }
}

/// What a thread reads of each operand at once: 16 bytes, or 8 of them, `kWords` words of 4.
template <int kWords>
struct alignas(4 * kWords) Words {
  unsigned values[kWords];
};

/// One thread, one vector of each operand, or half of one: the plainest shape is also the fastest for a
/// stream of this kind. blockIdx.x counts pieces of a row, so that blocks that run together read what lies
/// together; blockIdx.y counts rows and strides. Needs rows aligned to 16 bytes and less than 2^31 vectors in
/// one. `kDependent`: takes part in dependent launch.
template <Activation kActivation, class T, bool kDependent, int kWords>
__global__ void __launch_bounds__(1024) gated(const Typed<T> o) {
  constexpr int kPerWord = common::kPerWord<T>;
  constexpr unsigned kPieces = 4 / kWords;  // of a vector
  const unsigned items = o.vectors * kPieces;
  const unsigned own = blockIdx.x * blockDim.x + threadIdx.x;
  // To end a thread here holds up the reads of all. Dependent launch hides that; without it, threads behind
  // the end of a row read what its last one reads.
  if (kDependent && own >= items) return;
  const unsigned c = kDependent ? own : min(own, items - 1);
  common::wait_for_previous(kDependent);
  const auto rows = static_cast<unsigned>(o.rows);
  unsigned r = blockIdx.y;
  do {
    const auto* in =
        reinterpret_cast<const Words<kWords>*>(o.x) + static_cast<std::uint64_t>(r) * o.x_step * kPieces + c;
    Words<kWords> gates = in[0];
    Words<kWords> ups = in[items];
    if constexpr (!kDependent) {
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        common::read_now(gates.values[w]);
        common::read_now(ups.values[w]);
      }
    }
    common::let_next_start(kDependent);
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      float gate[kPerWord];
      float up[kPerWord];
      common::unpack_word<T>(gates.values[w], gate);
      common::unpack_word<T>(ups.values[w], up);
#pragma unroll
      for (int i = 0; i < kPerWord; ++i)
        gate[i] = apply<kActivation>(gate[i]) * up[i];
      gates.values[w] = common::pack_word<T>(gate);
    }
    auto* out =
        reinterpret_cast<Words<kWords>*>(o.out) + static_cast<std::uint64_t>(r) * o.out_step * kPieces + c;
    if (kDependent || own < items) *out = gates;
    r += gridDim.y;
  } while (r < rows);
}

/// The same element by element, for any alignment and size.
template <Activation kActivation, class T>
__global__ void __launch_bounds__(128) gated_any(const Typed<T> o) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  common::wait_for_previous();
  for (std::int64_t r = blockIdx.y; r < o.rows; r += gridDim.y)
    for (std::int64_t c = first; c < o.cols; c += step) {
      const float gate = common::load(o.x[r * o.x_stride + c]);
      const float up = common::load(o.x[r * o.x_stride + o.cols + c]);
      common::store(o.out[r * o.out_stride + c], apply<kActivation>(gate) * up);
    }
}

}  // namespace kernels::activation
