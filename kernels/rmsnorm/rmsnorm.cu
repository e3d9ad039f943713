#include "common/launch.h"
#include "rmsnorm/rmsnorm.cuh"

namespace kernels::rmsnorm {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr std::int64_t kMostRows = 0x7fffffff;
template <class T>
cudaError_t start(const void* kernel, Typed<T> typed, std::int64_t threads, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(typed.rows < kMostRows ? typed.rows : kMostRows);
  void* args[] = {&typed};
  return cudaLaunchKernel(kernel, dim3(blocks), dim3(common::round_to_warps(threads, kMostThreads)), args, 0,
                          stream);
}

template <bool kFused, class T, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t vectors, cudaStream_t stream) {
  const std::int64_t threads = (vectors + kHeld - 1) / kHeld;
  if constexpr (kFused) {
    return start(reinterpret_cast<const void*>(&fused_held<T, kHeld>), typed, threads, stream);
  } else {
    const bool early = kHeld < 4 || typed.rows < common::kManyRows;
    return start(early ? reinterpret_cast<const void*>(&norm_held<T, kHeld, true>)
                       : reinterpret_cast<const void*>(&norm_held<T, kHeld, false>),
                 typed, threads, stream);
  }
}

template <class T>
bool wide_enough(const Operands& o, int width) {
  const std::int64_t size = sizeof(T);
  const bool many = o.rows > 1;
  return o.cols % width == 0 && common::aligned_rows(o.out, many ? o.out_stride : 0, size) &&
         common::aligned_rows(o.x, many ? o.x_stride : 0, size) && common::aligned_rows(o.weight, 0, size) &&
         common::aligned_rows(o.residual, many ? o.residual_stride : 0, size);
}

template <bool kFused, class T>
cudaError_t choose(const Operands& o, cudaStream_t stream) {
  constexpr int kWidth = 16 / sizeof(T);
  const Typed<T> typed{static_cast<T*>(o.out),
                       static_cast<const T*>(o.x),
                       static_cast<T*>(o.residual),
                       static_cast<const T*>(o.weight),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride,
                       o.residual_stride,
                       static_cast<float>(o.eps)};
  const std::int64_t vectors = o.cols / kWidth;
  const bool wide = wide_enough<T>(o, kWidth) && o.rows <= kMostRows;
  if (wide && vectors <= common::kRowOfOne) return start_held<kFused, T, 1>(typed, vectors, stream);
  if (wide && vectors <= common::kRowOfTwo) return start_held<kFused, T, 2>(typed, vectors, stream);
  if (wide && vectors <= common::kRowOfFour) return start_held<kFused, T, 4>(typed, vectors, stream);
  if constexpr (!kFused)  // what it would hold of two rows in float32 leaves no registers
    if (wide && vectors <= common::kRowOfEight) return start_held<false, T, 8>(typed, vectors, stream);
  return start(reinterpret_cast<const void*>(&norm_any<kFused, T>), typed, o.cols, stream);
}

template <class T>
cudaError_t choose_form(const Operands& o, cudaStream_t stream) {
  return o.residual != nullptr ? choose<true, T>(o, stream) : choose<false, T>(o, stream);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  const common::CurrentDevice current(place.device);
  cudaError_t error = current.error();
  const auto stream = static_cast<cudaStream_t>(place.stream);
  if (error == cudaSuccess) {
    switch (o.type) {
      case common::ElementType::float32:
        error = choose_form<float>(o, stream);
        break;
      case common::ElementType::float16:
        error = choose_form<__half>(o, stream);
        break;
      default:
        error = choose_form<__nv_bfloat16>(o, stream);
        break;
    }
  }
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace kernels::rmsnorm
