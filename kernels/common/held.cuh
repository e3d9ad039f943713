#pragma once

// A block that owns a row and holds it in registers, as 16-byte vectors in the form in which they were read:
// thread t of n holds the vectors t, t + n, t + 2n, … Shared by the kernels that reduce over a row.

namespace kernels::common {

/// The index of the `held`-th vector of this thread.
__device__ inline unsigned vector_of(int held) {
  return static_cast<unsigned>(held) * blockDim.x + threadIdx.x;
}

/// Threads of a block that holds so many vectors each: as many registers as they need are left to each.
template <int kHeld>
inline constexpr int kThreadsHeld = kHeld == 1 ? 256 : 512;

/// Vectors of a row up to which a thread holds one, two, four or eight of them. Blocks of 256 to 512 threads
/// were the fastest on an H100: larger ones end together and leave the memory idle, smaller ones hold too
/// much each.
inline constexpr long long kRowOfOne = 256;
inline constexpr long long kRowOfTwo = 1024;
inline constexpr long long kRowOfFour = 4 * kThreadsHeld<4>;
inline constexpr long long kRowOfEight = 8 * kThreadsHeld<8>;
/// Rows from which weights are read after the reduction: with many blocks, registers are worth more than
/// latency.
inline constexpr long long kManyRows = 1024;

/// Reductions over the 32 lanes of a warp, returned to all of them.
__device__ inline float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, offset);
  return value;
}
__device__ inline float warp_max(float value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffU, value, offset));
  return value;
}

/// Programmatic dependent launch (sm_90 and up): until `wait_for_previous` returns, a kernel may run beside
/// the one ahead of it on its stream, and may touch nothing that this one reads or writes; after
/// `let_next_start` the kernel behind it may begin. Both do nothing in launches that did not ask for it, and
/// on older devices.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}
__device__ inline void let_next_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

}  // namespace kernels::common
