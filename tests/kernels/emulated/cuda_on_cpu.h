#pragma once

// Runs the CUDA code of our kernels on the CPU, so that machines without a GPU test what it computes. It is
// included before a .cu file that a C++ compiler then takes as C++: threads are fibers of one thread of the
// CPU for each block, blocks run one after another, those of a cluster beside one another. Barriers,
// shuffles, clusters and shared memory work as on a GPU. What it cannot show: times, races, what needs
// registers or alignment, and other rounding of approximate instructions.
//
// A kernel has one parameter, a struct of 17 to 512 bytes: then it can be called without its type
// (cuda_on_cpu.cpp).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#undef __device__
#undef __global__
#undef __launch_bounds__
#undef __shared__
#define __device__
#define __global__
#define __launch_bounds__(...)
// One for each thread of the CPU, which is one for each block.
#define __shared__ static thread_local

namespace cuda_on_cpu {

uint3 thread_index();
uint3 block_index();
dim3 block_size();
dim3 grid_size();

/// All threads of the block arrive before one goes on.
void block_barrier();
/// The value that lane `source` gave, after all lanes of `mask` gave theirs.
std::uint64_t exchange(unsigned mask, std::uint64_t value, unsigned source);

unsigned cluster_rank();
void cluster_barrier();
/// A variable in shared memory as it is in another block of the cluster.
void* in_block(void* variable, unsigned rank);

inline unsigned lane() {
  const uint3 index = thread_index();
  const dim3 size = block_size();
  return (index.x + size.x * (index.y + size.y * index.z)) % 32;
}

template <class T>
T from_lane(unsigned mask, T value, unsigned source) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  bits = exchange(mask, bits, source);
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// What `threadIdx` and its like are: members that are asked for when they are read.
template <auto kGet>
struct Index {
  struct {
    operator unsigned() const { return kGet().x; }
  } x;
  struct {
    operator unsigned() const { return kGet().y; }
  } y;
};

}  // namespace cuda_on_cpu

inline constexpr cuda_on_cpu::Index<cuda_on_cpu::thread_index> threadIdx{};
inline constexpr cuda_on_cpu::Index<cuda_on_cpu::block_index> blockIdx{};
inline constexpr cuda_on_cpu::Index<cuda_on_cpu::block_size> blockDim{};
inline constexpr cuda_on_cpu::Index<cuda_on_cpu::grid_size> gridDim{};

inline void __syncthreads() {
  cuda_on_cpu::block_barrier();
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return cuda_on_cpu::from_lane(mask, value, cuda_on_cpu::lane() ^ static_cast<unsigned>(distance));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  for (int distance = 16; distance > 0; distance /= 2)
    value = std::max(value, __shfl_xor_sync(mask, value, distance));
  return value;
}

inline float __uint_as_float(unsigned bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __expf(float value) {
  return std::exp(value);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float rsqrtf(float value) {
  return 1.0F / std::sqrt(value);
}
using std::min;
