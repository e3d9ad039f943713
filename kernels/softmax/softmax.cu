#include "common/launch.h"
#include "softmax/softmax.cuh"

namespace kernels::softmax {
namespace {

/// Vectors of a row up to which a warp holds it.
constexpr std::int64_t kRowOfWarp = 32;

template <class Kernel>
const void* address(Kernel* kernel) {
  return reinterpret_cast<const void*>(kernel);
}

/// A launch for each row of `blocks` blocks, or for as many rows as there can be blocks.
common::Launch launch_for(std::int64_t blocks, std::int64_t threads, const Place& place) {
  return {.blocks = static_cast<unsigned>(blocks < common::kMostBlocks ? blocks : common::kMostBlocks),
          .threads = common::round_to_warps(threads, common::kMostThreads),
          .device = place.device,
          .stream = static_cast<cudaStream_t>(place.stream)};
}

template <class T, int kHeld>
cudaError_t start_short(const Typed<T>& typed, const Place& place) {
  const std::int64_t blocks = (typed.rows + kWarpsOfShort - 1) / kWarpsOfShort;
  return common::start_with(address(&softmax_short<T, kHeld>), launch_for(blocks, 32 * kWarpsOfShort, place),
                            typed);
}

template <class T, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t vectors, const Place& place) {
  const std::int64_t threads = (vectors + kHeld - 1) / kHeld;
  return common::start_with(address(&softmax_held<T, kHeld>), launch_for(typed.rows, threads, place), typed);
}

template <class T, int kHeld>
cudaError_t start_cluster(const Typed<T>& typed, std::int64_t share, const Place& place) {
  auto launch = launch_for(typed.rows * kCluster, (share + kHeld - 1) / kHeld, place);
  launch.cluster = kCluster;
  return common::start_with(address(&softmax_cluster<T, kHeld>), launch, typed);
}

template <class T>
cudaError_t start_any(const Typed<T>& typed, bool wide, const Place& place) {
  constexpr int kWidth = common::kPerVector<T>;
  const std::int64_t threads = wide ? typed.cols / kWidth : typed.cols;
  const void* kernel = wide ? address(&softmax_any<T, kWidth>) : address(&softmax_any<T, 1>);
  return common::start_with(kernel, launch_for(typed.rows, threads, place), typed);
}

template <class T>
bool is_wide(const Operands& o) {
  const std::int64_t size = sizeof(T);
  const bool many = o.rows > 1;
  return o.cols * size % 16 == 0 && common::aligned_rows(o.out, many ? o.out_stride : 0, size) &&
         common::aligned_rows(o.x, many ? o.x_stride : 0, size);
}

template <class T>
cudaError_t choose(const Operands& o, const Place& place) {
  const Typed<T> typed{
      static_cast<T*>(o.out), static_cast<const T*>(o.x), o.rows, o.cols, o.out_stride, o.x_stride};
  const std::int64_t vectors = o.cols * static_cast<std::int64_t>(sizeof(T)) / 16;
  const bool wide = is_wide<T>(o);
  if (!wide || o.rows > common::kMostBlocks / kCluster) return start_any(typed, wide, place);
  if (vectors <= kRowOfWarp) return start_short<T, 1>(typed, place);
  if (vectors <= 2 * kRowOfWarp) return start_short<T, 2>(typed, place);
  if (vectors <= common::kRowOfOne) return start_held<T, 1>(typed, vectors, place);
  if (vectors <= common::kRowOfTwo) return start_held<T, 2>(typed, vectors, place);
  if (vectors <= common::kRowOfFour) return start_held<T, 4>(typed, vectors, place);
  if (vectors <= common::kRowOfEight) return start_held<T, 8>(typed, vectors, place);
  const std::int64_t share = (vectors + kCluster - 1) / kCluster;
  if (share <= common::kRowOfEight && common::capability_major(place.device) >= 9)
    return share <= common::kRowOfFour ? start_cluster<T, 4>(typed, share, place)
                                       : start_cluster<T, 8>(typed, share, place);
  return start_any(typed, wide, place);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose<T>(o, place); });
}

}  // namespace kernels::softmax
