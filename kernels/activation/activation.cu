#include "activation/activation.cuh"
#include "common/launch.h"

namespace kernels::activation {
namespace {

constexpr unsigned kFewThreads = 128;
constexpr std::int64_t kMostThreads = 1024;
// Vectors of a launch from which it fills the device many times over. Dependent launch costs time in every
// block, so that with it fewer and larger ones are better earlier.
constexpr std::int64_t kManyVectors = 1 << 19;
constexpr std::int64_t kManyDependentVectors = 1 << 17;
// Vectors of a launch up to which a thread takes half of one: the special functions of a thread, one after
// the other, are much of its time, and more of what dependent launch leaves of it.
constexpr std::int64_t kFewVectors = 1 << 12;
constexpr std::int64_t kFewDependentVectors = 1 << 15;
constexpr std::int64_t kMostPieces = 0x7fffffff;
constexpr std::int64_t kMostRows = 65535;  // of a grid's second dimension

/// Of a row in so many even parts, a block each.
unsigned threads_of_part(std::int64_t items, std::int64_t parts) {
  return common::round_to_warps((items + parts - 1) / parts, kMostThreads);
}

/// True if five sixths of the threads that a multiprocessor has room for would be at work, in whole blocks.
bool fill_a_multiprocessor(std::int64_t items, std::int64_t parts) {
  constexpr std::int64_t kRoom = 2048;  // of capability 8.0, 9.0 and 10.0
  const std::int64_t blocks = kRoom / threads_of_part(items, parts);
  return 6 * blocks * items >= 5 * kRoom * parts;
}

/// Small blocks start early where there are few; large ones, as even parts of a row, read longer pieces of
/// it. Fast memory also needs many threads at work.
unsigned threads_for(std::int64_t rows, std::int64_t items, bool dependent, int device) {
  if (rows * items < (dependent ? kManyDependentVectors : kManyVectors)) return kFewThreads;
  std::int64_t parts = (items + kMostThreads - 1) / kMostThreads;
  if (common::has_fast_memory(device))
    while (!fill_a_multiprocessor(items, parts) && threads_of_part(items, parts) > kFewThreads)
      ++parts;
  return threads_of_part(items, parts);
}

/// Pieces of a row along x; as many rows along y as there are, or an even share of them.
dim3 grid_of(std::int64_t rows, std::int64_t items, unsigned threads) {
  const std::int64_t pieces = (items + threads - 1) / threads;
  const std::int64_t rounds = (rows + kMostRows - 1) / kMostRows;
  return {static_cast<unsigned>(pieces < kMostPieces ? pieces : kMostPieces),
          static_cast<unsigned>((rows + rounds - 1) / rounds)};
}

template <class T>
cudaError_t start(const void* kernel, const Operands& o, std::int64_t vectors, std::int64_t items,
                  unsigned threads, const Place& place) {
  const Typed<T> typed{static_cast<T*>(o.out),
                       static_cast<const T*>(o.x),
                       common::step_of(o.out_stride, sizeof(T)),
                       common::step_of(o.x_stride, sizeof(T)),
                       static_cast<unsigned>(vectors),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride};
  return common::start_with(kernel,
                            {.blocks = grid_of(o.rows, items, threads),
                             .threads = threads,
                             .device = place.device,
                             .stream = static_cast<cudaStream_t>(place.stream)},
                            typed);
}

template <Activation kActivation, class T, bool kDependent>
cudaError_t start_gated(const Operands& o, std::int64_t vectors, const Place& place) {
  if (o.rows * vectors <= (kDependent ? kFewDependentVectors : kFewVectors))
    return start<T>(reinterpret_cast<const void*>(&gated<kActivation, T, kDependent, 2>), o, vectors,
                    2 * vectors, kFewThreads, place);
  return start<T>(reinterpret_cast<const void*>(&gated<kActivation, T, kDependent, 4>), o, vectors, vectors,
                  threads_for(o.rows, vectors, kDependent, place.device), place);
}

template <Activation kActivation, class T>
cudaError_t choose_width(const Operands& o, const Place& place) {
  constexpr std::int64_t kWidth = 16 / sizeof(T);
  constexpr std::int64_t kMostVectors = 0x7fffff00;
  const std::int64_t size = sizeof(T);
  const bool wide = o.rows <= common::kMostBlocks && o.cols % kWidth == 0 &&
                    o.cols / kWidth <= kMostVectors &&
                    common::aligned_rows(o.out, o.rows > 1 ? o.out_stride : 0, size) &&
                    common::aligned_rows(o.x, o.rows > 1 ? o.x_stride : 0, size);
  if (!wide)
    return start<T>(reinterpret_cast<const void*>(&gated_any<kActivation, T>), o, 0, o.cols, kFewThreads,
                    place);
  const std::int64_t vectors = o.cols / kWidth;
  return common::dependent_launch() ? start_gated<kActivation, T, true>(o, vectors, place)
                                    : start_gated<kActivation, T, false>(o, vectors, place);
}

template <class T>
cudaError_t choose_activation(Activation activation, const Operands& o, const Place& place) {
  switch (activation) {
    case Activation::silu:
      return choose_width<Activation::silu, T>(o, place);
    case Activation::gelu:
      return choose_width<Activation::gelu, T>(o, place);
    default:
      return choose_width<Activation::gelu_tanh, T>(o, place);
  }
}

}  // namespace

const char* launch(Activation activation, const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  return common::launch_typed(o.type, place,
                              [&]<class T>() { return choose_activation<T>(activation, o, place); });
}

}  // namespace kernels::activation
