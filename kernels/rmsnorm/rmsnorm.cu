#include "common/launch.h"
#include "rmsnorm/rmsnorm.cuh"

namespace kernels::rmsnorm {
namespace {

template <bool kFused, class T, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t vectors, const Place& place) {
  const std::int64_t threads = (vectors + kHeld - 1) / kHeld;
  if constexpr (kFused) {
    return common::start_rows(reinterpret_cast<const void*>(&fused_held<T, kHeld>), typed, threads, place);
  } else {
    const bool early = kHeld < 4 || typed.rows < common::kManyRows;
    return common::start_rows(early ? reinterpret_cast<const void*>(&norm_held<T, kHeld, true>)
                                    : reinterpret_cast<const void*>(&norm_held<T, kHeld, false>),
                              typed, threads, place);
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
cudaError_t choose(const Operands& o, const Place& place) {
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
  const bool wide = wide_enough<T>(o, kWidth) && o.rows <= common::kMostBlocks;
  if (wide && vectors <= common::kRowOfOne) return start_held<kFused, T, 1>(typed, vectors, place);
  if (wide && vectors <= common::kRowOfTwo) return start_held<kFused, T, 2>(typed, vectors, place);
  if (wide && vectors <= common::kRowOfFour) return start_held<kFused, T, 4>(typed, vectors, place);
  if constexpr (!kFused)  // what it would hold of two rows in float32 leaves no registers
    if (wide && vectors <= common::kRowOfEight) return start_held<false, T, 8>(typed, vectors, place);
  return common::start_rows(reinterpret_cast<const void*>(&norm_any<kFused, T>), typed, o.cols, place);
}

template <class T>
cudaError_t choose_form(const Operands& o, const Place& place) {
  return o.residual != nullptr ? choose<true, T>(o, place) : choose<false, T>(o, place);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose_form<T>(o, place); });
}

}  // namespace kernels::rmsnorm
