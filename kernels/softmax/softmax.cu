#include "common/launch.h"
#include "softmax/softmax.cuh"

namespace kernels::softmax {
namespace {

/// Vectors of a row that blocks of a cluster hold.
constexpr std::int64_t kMostVectors = kCluster * common::kRowOfEight;
/// Vectors of a row up to which a warp holds it.
constexpr std::int64_t kRowOfWarp = 32;
/// Vectors of a row up to which a thread holds one: with few rows a thread with fewer exponentials is done
/// earlier; with many, larger blocks wait longer for their last warp.
constexpr std::int64_t kRowOfOne = 256;
constexpr std::int64_t kFewRowsOfOne = 512;
/// Rows that come in several waves of blocks, of which smaller ones keep fast memory busy.
constexpr std::int64_t kRowsInWaves = 4 * common::kManyRows;
/// Rows from which those of clusters wait for one another.
constexpr std::int64_t kSeveralRows = common::kManyRows < 64 ? common::kManyRows : 16;

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

/// Of Row, whose threads hold `held` vectors each.
template <class T, class Row, int kThreads>
cudaError_t start_held(const Typed<T>& typed, int held, const Place& place) {
  return common::start_with(address(&softmax_held<T, Row, kThreads>),
                            launch_for(typed.rows, (typed.vectors + held - 1) / held, place), typed);
}

template <class T, int kHeld, int kThreads, bool kBothEnds>
cudaError_t start_pointed(const Typed<T>& typed, const Place& place) {
  return common::start_with(address(&softmax_pointed<T, kHeld, kThreads, kBothEnds>),
                            launch_for(typed.rows, (typed.vectors + kHeld - 1) / kHeld, place), typed);
}

/// Rows that a block holds, of more than a warp does. What a second point costs few rows wait for; with many
/// it is little beside a row that would have to be read again.
template <class T>
cudaError_t choose_pointed(const Typed<T>& typed, const Place& place) {
  const auto vectors = typed.vectors;
  if (typed.rows < common::kManyRows) {
    if (vectors <= kRowOfOne) return start_pointed<T, 1, 256, false>(typed, place);
    if (vectors <= kFewRowsOfOne) return start_pointed<T, 1, 512, false>(typed, place);
    if (vectors <= common::kRowOfTwo) return start_pointed<T, 2, 512, false>(typed, place);
    return start_pointed<T, 4, 512, false>(typed, place);
  }
  if (vectors <= kRowOfOne && typed.rows >= kRowsInWaves && common::has_fast_memory(place.device))
    return start_pointed<T, 2, 256, true>(typed, place);
  if (vectors <= kRowOfOne) return start_pointed<T, 1, 256, true>(typed, place);
  if (vectors <= common::kRowOfTwo) return start_pointed<T, 2, 512, true>(typed, place);
  return start_pointed<T, 4, 512, true>(typed, place);
}

template <class T, class Row, int kThreads, int kBlocks>
cudaError_t start_cluster(const Typed<T>& typed, std::int64_t share, int held, const Place& place) {
  auto launch = launch_for(typed.rows * kCluster, (share + held - 1) / held, place);
  launch.cluster = kCluster;
  return common::start_with(address(&softmax_cluster<T, Row, kThreads, kBlocks>), launch, typed);
}

/// Rows that one block has no room for. With many of them, small blocks of which five fit on a
/// multiprocessor: what is read for one hides the waiting of another. With few, blocks that compute
/// exponentials once.
template <class T>
cudaError_t choose_cluster(const Typed<T>& typed, const Place& place) {
  constexpr int kSmall = 256;
  const std::int64_t share = (typed.vectors + kCluster - 1) / kCluster;
  if (typed.rows >= kSeveralRows && share <= 8 * kSmall)
    return start_cluster<T, Packed<T, 8>, kSmall, 5>(typed, share, 8, place);
  if (share <= common::kRowOfFour) return start_cluster<T, Held<T, 4>, 512, 2>(typed, share, 4, place);
  return start_cluster<T, Packed<T, 8>, 512, 2>(typed, share, 8, place);
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
  const std::int64_t vectors = o.cols * static_cast<std::int64_t>(sizeof(T)) / 16;
  const Typed<T> typed{static_cast<T*>(o.out),
                       static_cast<const T*>(o.x),
                       common::step_of(o.out_stride, sizeof(T)),
                       common::step_of(o.x_stride, sizeof(T)),
                       static_cast<unsigned>(vectors <= kMostVectors ? vectors : 0),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride};
  const bool wide = is_wide<T>(o);
  if (!wide || o.rows > common::kMostBlocks / kCluster) return start_any(typed, wide, place);
  if (vectors <= kRowOfWarp) return start_short<T, 1>(typed, place);
  if (vectors <= 2 * kRowOfWarp) return start_short<T, 2>(typed, place);
  if (vectors <= common::kRowOfFour) return choose_pointed(typed, place);
  if (vectors <= common::kRowOfEight) return start_held<T, Packed<T, 8>, 512>(typed, 8, place);
  if (vectors <= kMostVectors && common::capability_major(place.device) >= 9)
    return choose_cluster(typed, place);
  return start_any(typed, wide, place);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose<T>(o, place); });
}

}  // namespace kernels::softmax
