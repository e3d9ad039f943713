#pragma once

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

// Device-side helpers: conversion of elements to and from float32, and 16-byte vectors of them.

namespace kernels::common {

__device__ inline float load(float value) {
  return value;
}
__device__ inline float load(__half value) {
  return __half2float(value);
}
__device__ inline float load(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

__device__ inline void store(float& out, float value) {
  out = value;
}
__device__ inline void store(__half& out, float value) {
  out = __float2half_rn(value);
}
__device__ inline void store(__nv_bfloat16& out, float value) {
  out = __float2bfloat16_rn(value);
}

/// `kWidth` elements moved as one access: 16 bytes, or a single element where alignment does not allow more.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Vector {
  T values[kWidth];
};

/// Elements in 16 bytes, the widest access of a thread.
template <class T>
inline constexpr int kPerVector = static_cast<int>(16 / sizeof(T));

/// Elements in a word of 4 bytes.
template <class T>
inline constexpr int kPerWord = static_cast<int>(4 / sizeof(T));

/// A word as float32 values. Vectors are kept raw until then: structs of packed elements are copied in four
/// accesses of four bytes.
__device__ inline void unpack_word(float*, unsigned word, float* out) {
  out[0] = __uint_as_float(word);
}
__device__ inline void unpack_word(__half*, unsigned word, float* out) {
  const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&word));
  out[0] = both.x;
  out[1] = both.y;
}
__device__ inline void unpack_word(__nv_bfloat16*, unsigned word, float* out) {
  out[0] = __uint_as_float(word << 16);
  out[1] = __uint_as_float(word & 0xffff0000U);
}
template <class T>
__device__ void unpack_word(unsigned word, float (&out)[kPerWord<T>]) {
  unpack_word(static_cast<T*>(nullptr), word, out);
}
template <class T>
__device__ void unpack(const uint4& raw, float (&out)[kPerVector<T>]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    unpack_word(static_cast<T*>(nullptr), words[i], out + i * kPerWord<T>);
}

/// The way back, rounded to nearest even.
__device__ inline unsigned pack_word(float*, const float* in) {
  return __float_as_uint(in[0]);
}
__device__ inline unsigned pack_word(__half*, const float* in) {
  const __half2 pair = __floats2half2_rn(in[0], in[1]);
  return *reinterpret_cast<const unsigned*>(&pair);
}
__device__ inline unsigned pack_word(__nv_bfloat16*, const float* in) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(in[0], in[1]);
  return *reinterpret_cast<const unsigned*>(&pair);
}
template <class T>
__device__ unsigned pack_word(const float (&in)[kPerWord<T>]) {
  return pack_word(static_cast<T*>(nullptr), in);
}
template <class T>
__device__ uint4 pack(const float (&in)[kPerVector<T>]) {
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    words[i] = pack_word(static_cast<T*>(nullptr), in + i * kPerWord<T>);
  return {words[0], words[1], words[2], words[3]};
}

/// Sum over the threads of a block, returned to all of them, for kernels that have no registers left for the
/// quicker form in held.cuh: with that one they spill. blockDim.x is a multiple of 32, at most 1024.
/// `scratch` holds 32 floats of shared memory and may be reused after the next __syncthreads().
__device__ inline float block_sum(float value, float* scratch) {
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, offset);
  const unsigned warp = threadIdx.x / 32;
  const unsigned lane = threadIdx.x % 32;
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = lane < blockDim.x / 32 ? scratch[lane] : 0.0F;
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, offset);
  return value;
}

}  // namespace kernels::common
