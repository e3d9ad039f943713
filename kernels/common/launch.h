#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

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

/// True if `data` and rows of `stride` elements of `size` bytes are all 16-byte aligned.
inline bool aligned_rows(const void* data, std::int64_t stride, std::int64_t size) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride * size % 16 == 0;
}

/// A whole number of warps, at least one.
inline unsigned round_to_warps(std::int64_t threads, unsigned most) {
  const std::int64_t rounded = (threads + 31) / 32 * 32;
  if (rounded < 32) return 32;
  return rounded > most ? most : static_cast<unsigned>(rounded);
}

}  // namespace kernels::common
