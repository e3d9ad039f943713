#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include "common/dtype.h"
#include "common/place.h"

// Host side of a CUDA launch, shared by the kernels.

namespace kernels::common {

/// Makes `device` current and restores the one that was. Costs nothing when it is current already.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    error_ = cudaGetDevice(&before_);
    if (error_ == cudaSuccess && before_ != device) {
      error_ = cudaSetDevice(device);
      changed_ = error_ == cudaSuccess;
    }
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  ~CurrentDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  cudaError_t error() const { return error_; }

 private:
  int before_ = 0;
  cudaError_t error_ = cudaSuccess;
  bool changed_ = false;
};

/// The most vectors of 16 bytes from one row to the next that kernels count in 32 bits.
inline constexpr std::int64_t kMostStep = 0xffffffff;

/// Vectors of 16 bytes in `stride` elements of `size` bytes; of a single row it may be anything.
inline unsigned step_of(std::int64_t stride, std::int64_t size) {
  return static_cast<unsigned>(stride * size / 16);
}

/// True if `data` and rows of `stride` elements of `size` bytes are all 16-byte aligned, and near enough to
/// one another for `step_of`.
inline bool aligned_rows(const void* data, std::int64_t stride, std::int64_t size) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride * size % 16 == 0 &&
         stride * size / 16 <= kMostStep;
}

/// A whole number of warps, at least one.
inline unsigned round_to_warps(std::int64_t threads, unsigned most) {
  const std::int64_t rounded = (threads + 31) / 32 * 32;
  if (rounded < 32) return 32;
  return rounded > most ? most : static_cast<unsigned>(rounded);
}

/// True if what is added to `eps` is never subnormal, which `approximate_rsqrt` would take for 0.
inline bool keeps_normal(double eps) {
  return static_cast<float>(eps) >= std::numeric_limits<float>::min();
}

/// Whether launches ask for programmatic dependent launch: KERNELS_DEPENDENT_LAUNCH=1 in the environment,
/// read at the first launch. Off otherwise: with it a kernel may read its weights before the kernel ahead of
/// it has ended, so nothing on the stream may write weights right before a kernel uses them. A neighbour that
/// takes no part in it changes nothing.
inline bool dependent_launch() {
  static std::atomic<int> known{-1};
  int wanted = known.load(std::memory_order_relaxed);
  if (wanted < 0) {
    const char* text = std::getenv("KERNELS_DEPENDENT_LAUNCH");
    wanted = text != nullptr && text[0] == '1' && text[1] == 0 ? 1 : 0;
    known.store(wanted, std::memory_order_relaxed);
  }
  return wanted == 1;
}

/// The major compute capability of a device; 0 if it cannot be told.
inline int capability_major(int device) {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess ? major : 0;
}

/// Whether the memory of a device brings each of its multiprocessors more than 16 bytes a clock. By their
/// data sheets an H200's brings 18 and wants as many reads at a time as there is room for; an H100's brings
/// 13, and was faster in long pieces. False if it cannot be told. A device is asked once: clocks can take
/// long to ask for.
inline bool has_fast_memory(int device) {
  constexpr int kDevices = 64;
  static std::atomic<signed char> known[kDevices];
  const bool is_counted = device >= 0 && device < kDevices;
  if (is_counted)
    if (const int found = known[device].load(std::memory_order_relaxed); found != 0) return found > 0;
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, device) == cudaSuccess ? std::int64_t{value} : 0;
  };
  constexpr std::int64_t kBytes = 16;
  // Clocks in kHz, the width in bits, of which each clock moves two.
  const std::int64_t memory =
      attribute(cudaDevAttrMemoryClockRate) * attribute(cudaDevAttrGlobalMemoryBusWidth) * 2 / 8;
  const bool fast =
      memory > kBytes * attribute(cudaDevAttrClockRate) * attribute(cudaDevAttrMultiProcessorCount);
  if (is_counted) known[device].store(fast ? 1 : -1, std::memory_order_relaxed);
  return fast;
}

/// A launch on the current device, `device`, in clusters of `cluster` blocks, which needs capability 9.0 if
/// it is more than one.
struct Launch {
  dim3 blocks;
  dim3 threads;
  int device;
  cudaStream_t stream;
  unsigned cluster = 1;
};

/// Starts `kernel` with `arguments`, the addresses of its parameters. Errors are returned, never left behind
/// for others to find.
inline cudaError_t start(const void* kernel, const Launch& launch, void** arguments) {
  cudaLaunchAttribute attributes[2];
  unsigned count = 0;
  if (launch.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim = {launch.cluster, 1, 1};
    ++count;
  }
  if (dependent_launch() && capability_major(launch.device) >= 9) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count].val.programmaticStreamSerializationAllowed = 1;
    ++count;
  }
  cudaError_t error = cudaSuccess;
  if (count == 0) {
    error = cudaLaunchKernel(kernel, launch.blocks, launch.threads, arguments, 0, launch.stream);
  } else {
    cudaLaunchConfig_t config{};
    config.gridDim = launch.blocks;
    config.blockDim = launch.threads;
    config.stream = launch.stream;
    config.attrs = attributes;
    config.numAttrs = count;
    error = cudaLaunchKernelExC(&config, kernel, arguments);
  }
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

/// Starts `kernel`, whose only parameter is an Args.
template <class Args>
cudaError_t start_with(const void* kernel, const Launch& launch, Args args) {
  void* arguments[] = {&args};
  return start(kernel, launch, arguments);
}

inline constexpr unsigned kMostThreads = 1024;           ///< of a block
inline constexpr std::int64_t kMostBlocks = 0x7fffffff;  ///< of a grid's first dimension

/// Starts a block of about `threads` threads for each row of `typed`, or as many blocks as there can be.
template <class Typed>
cudaError_t start_rows(const void* kernel, const Typed& typed, std::int64_t threads, const Place& place) {
  return start_with(kernel,
                    {.blocks = static_cast<unsigned>(typed.rows < kMostBlocks ? typed.rows : kMostBlocks),
                     .threads = round_to_warps(threads, kMostThreads),
                     .device = place.device,
                     .stream = static_cast<cudaStream_t>(place.stream)},
                    typed);
}

/// Calls `run.template operator()<T>()` for the type of the elements, on the device of the place. Returns
/// null, or the text of the error that it returned.
template <class Run>
const char* launch_typed(ElementType type, const Place& place, const Run& run) {
  const CurrentDevice current(place.device);
  cudaError_t error = current.error();
  if (error == cudaSuccess) {
    switch (type) {
      case ElementType::float32:
        error = run.template operator()<float>();
        break;
      case ElementType::float16:
        error = run.template operator()<__half>();
        break;
      default:
        error = run.template operator()<__nv_bfloat16>();
        break;
    }
  }
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace kernels::common
