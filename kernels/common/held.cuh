#pragma once

// A block that owns a row and holds it in registers, as 16-byte vectors in the form in which they were read:
// thread t of n holds the vectors t, t + n, t + 2n, … Shared by the kernels that reduce over a row.

#include <cstdint>
#include <type_traits>

namespace kernels::common {

/// The index of the `held`-th vector of this thread.
__device__ inline unsigned vector_of(int held) {
  return static_cast<unsigned>(held) * blockDim.x + threadIdx.x;
}

/// Vector `index` of row `row`, for rows that lie `step` vectors of 16 bytes apart. What it is made of is
/// hidden from the compiler, which would otherwise make the addresses of a thread's other vectors anew from
/// the start of the data, behind branches.
template <class T>
__device__ auto vectors_at(T* data, std::uint64_t row, unsigned step, unsigned index) {
  using Raw = std::conditional_t<std::is_const_v<T>, const uint4, uint4>;
  auto* at = reinterpret_cast<Raw*>(data) + row * step + index;
#if defined(__CUDA_ARCH__)
  asm("" : "+l"(at));
  __builtin_assume(__isGlobal(at));  // it knew that before
#endif
  return at;
}

/// This thread's first vector of the row of this block; its others follow in steps of blockDim.x. `each` is 2
/// where it takes two side by side.
template <class T>
__device__ auto own_vectors(T* data, unsigned step, unsigned each = 1) {
  return vectors_at(data, blockIdx.x, step, threadIdx.x * each);
}

/// Makes an address here, and not behind a barrier where every instruction is waited for.
template <class Vector>
__device__ Vector* made_now(Vector* at) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+l"(at));
  __builtin_assume(__isGlobal(at));
#endif
  return at;
}

/// The same of shared memory: what makes its address would be done again at each use, between the barrier and
/// the values behind it, too.
template <class T>
__device__ T& made_now_shared(T& memory) {
#if defined(__CUDA_ARCH__)
  auto at = static_cast<unsigned>(__cvta_generic_to_shared(&memory));
  asm volatile("" : "+r"(at));
  return *static_cast<T*>(__cvta_shared_to_generic(at));
#else
  return memory;
#endif
}

/// Has what was read here, and not behind a branch that follows, to which the compiler would move the read.
__device__ inline void read_now(unsigned& word) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+r"(word));
#else
  static_cast<void>(word);
#endif
}
__device__ inline void read_now(uint4& vector) {
  read_now(vector.x);
  read_now(vector.y);
  read_now(vector.z);
  read_now(vector.w);
}

/// Reads this thread's vectors of a row, from the first on; those that the row does not have are zeros.
template <int kHeld>
__device__ void read_row(const uint4* own, unsigned vectors, uint4 (&held)[kHeld]) {
#pragma unroll
  for (int k = 0; k < kHeld; ++k)
    held[k] = vector_of(k) < vectors ? own[k * blockDim.x] : uint4{0, 0, 0, 0};
}

/// One value of each warp of a block of at most `kWarps`, which is 8, 16 or 32, in shared memory. A thread
/// reads eight of them at once, which takes less than half of the time of five shuffles; which eight depends
/// on its lane's remainder by kWarps / 8.
template <int kWarps>
struct alignas(16) OfWarps {
  float values[kWarps];

  /// Keeps `nothing` for warps that the block does not have. It stands right behind the reads of a row: while
  /// they are waited for, the addresses in shared memory are made, which `keep` and `read` need, too.
  __device__ void open(float nothing) {
    if (threadIdx.x >= blockDim.x / 32 && threadIdx.x < kWarps) values[threadIdx.x] = nothing;
  }
  /// Keeps the value of this warp, which all of its lanes have. A barrier comes before it is read.
  __device__ void keep(float value) {
    if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = value;
  }
  __device__ void read(float (&eight)[8]) const {
    const auto* from = reinterpret_cast<const float4*>(values) + 2 * (threadIdx.x % (kWarps / 8));
    const float4 low = from[0];
    const float4 high = from[1];
    eight[0] = low.x;
    eight[1] = low.y;
    eight[2] = low.z;
    eight[3] = low.w;
    eight[4] = high.x;
    eight[5] = high.y;
    eight[6] = high.z;
    eight[7] = high.w;
  }
};

/// When a thread reads the weights of its columns: `first`, while the kernel ahead may still run (dependent
/// launch); `second`, right behind the row; `last`, after the reduction. With many rows the registers that
/// wait with weights in them are worth more than the time that they save.
enum class Weights { first, second, last };

/// Threads of a block, at most: of 256 the values of all warps are read at once. Blocks of 256 to 512 threads
/// were the fastest on an H100: larger ones end together and leave the memory idle, smaller ones hold too
/// much each.
inline constexpr int kSmallBlock = 256;
inline constexpr int kLargeBlock = 512;
/// How many blocks a multiprocessor is to have room for, at least, where there are many rows and a thread
/// needs `registers`: of 65,536.
template <int kThreads, Weights kWeights>
constexpr int blocks_held(int registers) {
  return kWeights == Weights::last ? 65536 / (kThreads * registers) : 1;
}

/// Rows that are many. Tests on the CPU say less.
#if !defined(KERNELS_MANY_ROWS)
#define KERNELS_MANY_ROWS 1024
#endif
inline constexpr long long kManyRows = KERNELS_MANY_ROWS;
/// Vectors of a row up to which a thread holds two, four or eight of them.
inline constexpr long long kRowOfTwo = 1024;
inline constexpr long long kRowOfFour = 2048;
inline constexpr long long kRowOfEight = 4096;

/// Reductions over the 32 lanes of a warp, returned to all of them.
__device__ inline float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffU, value, offset);
  return value;
}
/// Two sums in the time of one: lanes 0 to 15 return that of `first`, the others that of `second`.
__device__ inline float warp_sums(float first, float second) {
  const bool is_first = threadIdx.x % 32 < 16;
  float sum = (is_first ? first : second) + __shfl_xor_sync(0xffffffffU, is_first ? second : first, 16);
#pragma unroll
  for (int offset = 8; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffU, sum, offset);
  return sum;
}
/// Of values that are not NaN: one instruction for whole numbers, in whose order the bits of a float32 come
/// when those of negative ones are all inverted, and the sign of others.
__device__ inline float warp_max(float value) {
  constexpr unsigned kSign = 0x80000000U;
  const unsigned bits = __float_as_uint(value);
  const unsigned most = __reduce_max_sync(0xffffffffU, (bits & kSign) != 0 ? ~bits : bits | kSign);
  return __uint_as_float((most & kSign) != 0 ? most ^ kSign : ~most);
}

/// The sum of what all warps kept, from the eight values that this thread read.
template <int kWarps>
__device__ float sum_of_eight(const float (&v)[8]) {
  float sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
#pragma unroll
  for (int offset = kWarps / 16; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffU, sum, offset);
  return sum;
}
/// The largest of it.
template <int kWarps>
__device__ float max_of_eight(const float (&v)[8]) {
  float most =
      fmaxf(fmaxf(fmaxf(v[0], v[1]), fmaxf(v[2], v[3])), fmaxf(fmaxf(v[4], v[5]), fmaxf(v[6], v[7])));
#pragma unroll
  for (int offset = kWarps / 16; offset > 0; offset /= 2)
    most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, offset));
  return most;
}

/// The sum of what the warps of a block kept, in all threads: with `Weights::last` in the way that needs the
/// fewest registers, else in the quickest.
template <Weights kWeights, int kWarps>
__device__ float sum_of_warps(const OfWarps<kWarps>& scratch) {
  if constexpr (kWeights == Weights::last) {
    float sum = scratch.values[threadIdx.x % kWarps];
#pragma unroll
    for (int offset = kWarps / 2; offset > 0; offset /= 2)
      sum += __shfl_xor_sync(0xffffffffU, sum, offset);
    return sum;
  } else {
    float eight[8];
    scratch.read(eight);
    return sum_of_eight<kWarps>(eight);
  }
}

/// Sum over the threads of a block, returned to all of them; one barrier. `scratch` was opened with 0.
template <Weights kWeights, int kWarps>
__device__ float block_sum(float value, OfWarps<kWarps>& scratch) {
  scratch.keep(warp_sum(value));
  __syncthreads();
  return sum_of_warps<kWeights>(scratch);
}

/// Programmatic dependent launch (sm_90 and up): until `wait_for_previous` returns, a kernel may run beside
/// the one ahead of it on its stream, and may touch nothing that this one reads or writes; after
/// `let_next_start`, which comes behind it, the kernel behind may begin in the same way. Neither has an
/// effect in launches that did not ask for it, or on older devices, but each costs time in every block: in
/// warm launches of several waves up to a quarter of it. Kernels that such a time matters to are told by
/// `dependent` whether they take part. Elsewhere both stay, because the assembler moves no load across them:
/// without, layer_norm reads its row behind what it reads first, and takes 0.25 us more for one row.
__device__ inline void wait_for_previous(bool dependent = true) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (dependent) cudaGridDependencySynchronize();
#else
  static_cast<void>(dependent);
#endif
}
/// Behind reads it comes when what they bring has come.
__device__ inline void let_next_start(bool dependent = true) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (dependent) cudaTriggerProgrammaticLaunchCompletion();
#else
  static_cast<void>(dependent);
#endif
}

}  // namespace kernels::common
