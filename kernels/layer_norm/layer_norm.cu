#include "common/launch.h"
#include "layer_norm/layer_norm.cuh"

namespace kernels::layer_norm {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr std::int64_t kMostBlocks = 0x7fffffff;

template <class Kernel>
const void* address(Kernel* kernel) {
  return reinterpret_cast<const void*>(kernel);
}

template <class T>
cudaError_t start(const void* kernel, const Typed<T>& typed, std::int64_t threads, const Place& place) {
  const auto blocks = static_cast<unsigned>(typed.rows < kMostBlocks ? typed.rows : kMostBlocks);
  return common::start_with(kernel,
                            {.blocks = blocks,
                             .threads = common::round_to_warps(threads, kMostThreads),
                             .device = place.device,
                             .stream = static_cast<cudaStream_t>(place.stream)},
                            typed);
}

/// Weights early where a thread holds little, and where few blocks run; never where it holds most.
template <bool kBias, class T, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t vectors, const Place& place) {
  const std::int64_t threads = (vectors + kHeld - 1) / kHeld;
  if constexpr (kHeld < 4) {
    return start(address(&norm_held<T, kHeld, kBias, true>), typed, threads, place);
  } else if constexpr (kHeld == 4) {
    return typed.rows < common::kManyRows
               ? start(address(&norm_held<T, kHeld, kBias, true>), typed, threads, place)
               : start(address(&norm_held<T, kHeld, kBias, false>), typed, threads, place);
  } else {
    return start(address(&norm_held<T, kHeld, kBias, false>), typed, threads, place);
  }
}

template <class T>
bool wide_enough(const Operands& o) {
  const std::int64_t size = sizeof(T);
  const bool many = o.rows > 1;
  return o.rows <= kMostBlocks && o.cols * size % 16 == 0 &&
         common::aligned_rows(o.out, many ? o.out_stride : 0, size) &&
         common::aligned_rows(o.x, many ? o.x_stride : 0, size) && common::aligned_rows(o.weight, 0, size) &&
         common::aligned_rows(o.bias, 0, size);
}

template <bool kBias, class T>
cudaError_t choose(const Operands& o, const Place& place) {
  const Typed<T> typed{static_cast<T*>(o.out),
                       static_cast<const T*>(o.x),
                       static_cast<const T*>(o.weight),
                       static_cast<const T*>(o.bias),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride,
                       static_cast<float>(o.eps)};
  const std::int64_t vectors = o.cols * static_cast<std::int64_t>(sizeof(T)) / 16;
  const bool wide = wide_enough<T>(o);
  if (wide && vectors <= common::kRowOfOne) return start_held<kBias, T, 1>(typed, vectors, place);
  if (wide && vectors <= common::kRowOfTwo) return start_held<kBias, T, 2>(typed, vectors, place);
  if (wide && vectors <= common::kRowOfFour) return start_held<kBias, T, 4>(typed, vectors, place);
  if (wide && vectors <= common::kRowOfEight) return start_held<kBias, T, 8>(typed, vectors, place);
  return start(address(&norm_any<T>), typed, o.cols, place);
}

template <class T>
cudaError_t choose_form(const Operands& o, const Place& place) {
  return o.bias != nullptr ? choose<true, T>(o, place) : choose<false, T>(o, place);
}

cudaError_t choose_type(const Operands& o, const Place& place) {
  switch (o.type) {
    case common::ElementType::float32:
      return choose_form<float>(o, place);
    case common::ElementType::float16:
      return choose_form<__half>(o, place);
    default:
      return choose_form<__nv_bfloat16>(o, place);
  }
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  const common::CurrentDevice current(place.device);
  const cudaError_t error = current.error() == cudaSuccess ? choose_type(o, place) : current.error();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace kernels::layer_norm
