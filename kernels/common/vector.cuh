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

/// 16 bytes as float32 values. They are kept raw until then: structs of packed elements are copied in four
/// accesses of four bytes.
__device__ inline void unpack(float*, const uint4& raw, float (&out)[4]) {
  out[0] = __uint_as_float(raw.x);
  out[1] = __uint_as_float(raw.y);
  out[2] = __uint_as_float(raw.z);
  out[3] = __uint_as_float(raw.w);
}
__device__ inline void unpack(__half*, const uint4& raw, float (&out)[8]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __half2 pair = *reinterpret_cast<const __half2*>(&words[i]);
    const float2 both = __half22float2(pair);
    out[2 * i] = both.x;
    out[2 * i + 1] = both.y;
  }
}
__device__ inline void unpack(__nv_bfloat16*, const uint4& raw, float (&out)[8]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}
template <class T>
__device__ void unpack(const uint4& raw, float (&out)[kPerVector<T>]) {
  unpack(static_cast<T*>(nullptr), raw, out);
}

/// The way back, rounded to nearest even.
__device__ inline uint4 pack(float*, const float (&in)[4]) {
  return {__float_as_uint(in[0]), __float_as_uint(in[1]), __float_as_uint(in[2]), __float_as_uint(in[3])};
}
__device__ inline uint4 pack(__half*, const float (&in)[8]) {
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __half2 pair = __floats2half2_rn(in[2 * i], in[2 * i + 1]);
    words[i] = *reinterpret_cast<const unsigned*>(&pair);
  }
  return {words[0], words[1], words[2], words[3]};
}
__device__ inline uint4 pack(__nv_bfloat16*, const float (&in)[8]) {
  unsigned words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
    words[i] = *reinterpret_cast<const unsigned*>(&pair);
  }
  return {words[0], words[1], words[2], words[3]};
}
template <class T>
__device__ uint4 pack(const float (&in)[kPerVector<T>]) {
  return pack(static_cast<T*>(nullptr), in);
}

/// Sum over the threads of a block, returned to all of them. blockDim.x is a multiple of 32, at most 1024.
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
