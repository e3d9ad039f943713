#include "common/launch.h"
#include "layer_norm/layer_norm.cuh"

namespace kernels::layer_norm {
namespace {

template <class Kernel>
const void* address(Kernel* kernel) {
  return reinterpret_cast<const void*>(kernel);
}

template <bool kBias, class T, int kHeld, common::Weights kWeights>
cudaError_t start_held(const Typed<T>& typed, const Place& place) {
  const std::int64_t threads = (typed.vectors + kHeld - 1) / kHeld;
  const void* kernel = address(&norm_held<T, kHeld, kBias, kWeights, common::kLargeBlock>);
  if constexpr (kWeights != common::Weights::last)
    if (typed.rows < common::kManyRows && threads <= common::kSmallBlock)
      kernel = address(&norm_held<T, kHeld, kBias, kWeights, common::kSmallBlock>);
  return common::start_rows(kernel, typed, threads, place);
}

/// Weights wait in registers, but where many rows are to fit on the device and a thread holds much.
template <bool kBias, class T, int kHeld>
cudaError_t choose_weights(const Typed<T>& typed, const Place& place) {
  using common::Weights;
  if constexpr (kHeld >= 4)
    if (typed.rows >= common::kManyRows) return start_held<kBias, T, kHeld, Weights::last>(typed, place);
  if (common::dependent_launch()) return start_held<kBias, T, kHeld, Weights::first>(typed, place);
  return start_held<kBias, T, kHeld, Weights::second>(typed, place);
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
  const std::int64_t vectors = o.cols * static_cast<std::int64_t>(sizeof(T)) / 16;
  const bool wide = wide_enough<T>(o) && common::keeps_normal(o.eps);
  const Typed<T> typed{static_cast<const T*>(o.x),
                       static_cast<const T*>(o.weight),
                       static_cast<const T*>(o.bias),
                       common::step_of(o.x_stride, sizeof(T)),
                       static_cast<unsigned>(vectors <= common::kRowOfEight ? vectors : 0),
                       1.0F / static_cast<float>(o.cols),
                       static_cast<float>(o.eps),
                       static_cast<T*>(o.out),
                       common::step_of(o.out_stride, sizeof(T)),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride};
  // What every warp does for itself, whatever it holds, is much of the work of few rows, and one vector is
  // little for it. With many rows more warps hide it.
  const std::int64_t row_of_one = o.rows < common::kManyRows ? 256 : 128;
  if (wide && vectors <= row_of_one) return choose_weights<kBias, T, 1>(typed, place);
  if (wide && vectors <= common::kRowOfTwo) return choose_weights<kBias, T, 2>(typed, place);
  if (wide && vectors <= common::kRowOfFour) return choose_weights<kBias, T, 4>(typed, place);
  if (wide && vectors <= common::kRowOfEight) return choose_weights<kBias, T, 8>(typed, place);
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
