#include "common/launch.h"
#include "layer_norm/layer_norm.cuh"

namespace kernels::layer_norm {
namespace {

template <class Kernel>
const void* address(Kernel* kernel) {
  return reinterpret_cast<const void*>(kernel);
}

/// Weights early where a thread holds little, and where few blocks run; never where it holds most.
template <bool kBias, class T, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t vectors, const Place& place) {
  const std::int64_t threads = (vectors + kHeld - 1) / kHeld;
  if constexpr (kHeld < 4) {
    return common::start_rows(address(&norm_held<T, kHeld, kBias, true>), typed, threads, place);
  } else if constexpr (kHeld == 4) {
    return typed.rows < common::kManyRows
               ? common::start_rows(address(&norm_held<T, kHeld, kBias, true>), typed, threads, place)
               : common::start_rows(address(&norm_held<T, kHeld, kBias, false>), typed, threads, place);
  } else {
    return common::start_rows(address(&norm_held<T, kHeld, kBias, false>), typed, threads, place);
  }
}

template <class T>
bool wide_enough(const Operands& o) {
  const std::int64_t size = sizeof(T);
  const bool many = o.rows > 1;
  return o.rows <= common::kMostBlocks && o.cols * size % 16 == 0 &&
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
  return common::start_rows(address(&norm_any<T>), typed, o.cols, place);
}

template <class T>
cudaError_t choose_form(const Operands& o, const Place& place) {
  return o.bias != nullptr ? choose<true, T>(o, place) : choose<false, T>(o, place);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose_form<T>(o, place); });
}

}  // namespace kernels::layer_norm
