#include "common/launch.h"
#include "rmsnorm/rmsnorm.cuh"

namespace kernels::rmsnorm {
namespace {

/// Vectors of a row up to which a thread holds one: twice as many warps would have twice the work that every
/// warp has for itself, whatever it holds.
constexpr std::int64_t kRowOfOne = 256;
/// Rows up to which, for the same reason, a thread of long ones holds eight.
constexpr std::int64_t kFewRows = common::kManyRows < 64 ? 2 : 64;

template <bool kFused, class T, int kHeld, common::Weights kWeights, int kThreads>
const void* kernel_for() {
  if constexpr (kFused)
    return reinterpret_cast<const void*>(&fused_held<T, kHeld, kWeights, kThreads>);
  else
    return reinterpret_cast<const void*>(&norm_held<T, kHeld, kWeights, kThreads>);
}

template <bool kFused, class T, int kHeld, common::Weights kWeights>
cudaError_t start_held(const Typed<T>& typed, const Place& place) {
  using common::kLargeBlock;
  using common::kSmallBlock;
  const std::int64_t threads = (typed.vectors + kHeld - 1) / kHeld;
  constexpr bool kIsSmall = kHeld == 1;
  constexpr bool kIsLarge = kHeld == 4 || (kHeld == 8 && kWeights == common::Weights::last);
  const void* kernel = nullptr;
  if constexpr (kIsSmall)
    kernel = kernel_for<kFused, T, kHeld, kWeights, kSmallBlock>();
  else if constexpr (kIsLarge)
    kernel = kernel_for<kFused, T, kHeld, kWeights, kLargeBlock>();
  else
    kernel = threads <= kSmallBlock ? kernel_for<kFused, T, kHeld, kWeights, kSmallBlock>()
                                    : kernel_for<kFused, T, kHeld, kWeights, kLargeBlock>();
  return common::start_rows(kernel, typed, threads, place);
}

/// Weights wait in registers, but where many rows are to fit on the device and a thread holds much.
template <bool kFused, class T, int kHeld>
cudaError_t choose_weights(const Typed<T>& typed, const Place& place) {
  using common::Weights;
  if constexpr (kFused || kHeld >= 4)
    if (typed.rows >= common::kManyRows) return start_held<kFused, T, kHeld, Weights::last>(typed, place);
  if (common::dependent_launch()) return start_held<kFused, T, kHeld, Weights::first>(typed, place);
  return start_held<kFused, T, kHeld, Weights::second>(typed, place);
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
  const std::int64_t vectors = o.cols / kWidth;
  const bool wide = wide_enough<T>(o, kWidth) && o.rows <= common::kMostBlocks && common::keeps_normal(o.eps);
  const Typed<T> typed{static_cast<const T*>(o.x),
                       static_cast<const T*>(o.weight),
                       common::step_of(o.x_stride, sizeof(T)),
                       static_cast<unsigned>(vectors <= common::kRowOfEight ? vectors : 0),
                       static_cast<T*>(o.residual),
                       common::step_of(o.residual_stride, sizeof(T)),
                       common::step_of(o.out_stride, sizeof(T)),
                       static_cast<T*>(o.out),
                       1.0F / static_cast<float>(o.cols),
                       static_cast<float>(o.eps),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride,
                       o.residual_stride};
  if constexpr (!kFused)
    if (wide && o.rows <= kFewRows && vectors > common::kRowOfTwo && vectors <= common::kRowOfFour)
      return choose_weights<false, T, 8>(typed, place);
  if (wide && vectors <= kRowOfOne) return choose_weights<kFused, T, 1>(typed, place);
  if (wide && vectors <= common::kRowOfTwo) return choose_weights<kFused, T, 2>(typed, place);
  if (wide && vectors <= common::kRowOfFour) return choose_weights<kFused, T, 4>(typed, place);
  if constexpr (!kFused)  // what it would hold of two rows in float32 leaves no registers
    if (wide && vectors <= common::kRowOfEight) return choose_weights<false, T, 8>(typed, place);
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
