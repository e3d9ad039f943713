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
