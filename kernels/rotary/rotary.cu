#include <algorithm>

#include "common/launch.h"
#include "rotary/rotary.cuh"

namespace kernels::rotary {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kLeastThreads = 128;
constexpr unsigned kMostThreads = 256;
/// Tokens from which a thread turns two heads, so that all are turned in one wave of blocks, and those from
/// which there are several waves, which more threads with one head each turn as fast or faster.
constexpr std::int64_t kSeveralTokens = common::kManyRows / 2;
constexpr std::int64_t kTokensInWaves = 4 * common::kManyRows;
/// Blocks up to which the wait for the previous kernel, done again, costs less than branches: two for each
/// multiprocessor of an H100.
constexpr std::uint64_t kFewBlocks = 264;
constexpr std::int64_t kMostY = 65535;  // of a grid's second dimension
constexpr std::int64_t kMostHeads = 0x3fffffff;

/// Tokens along y, for kernels that go on to others in steps: as many blocks as there are, or an even share.
unsigned token_blocks(std::int64_t tokens) {
  const std::int64_t rounds = (tokens + kMostY - 1) / kMostY;
  return static_cast<unsigned>((tokens + rounds - 1) / rounds);
}

/// How many heads a block takes, `vectors` threads each: so many that the fewest lanes of the warps idle, of
/// blocks of 128 to 256 threads where a token has as many; the smaller ones of equals.
unsigned heads_of_block(unsigned heads, unsigned vectors) {
  unsigned best = 1;
  unsigned least = ~0U;
  for (unsigned n = 1; n <= heads && n * vectors <= kMostThreads; ++n) {
    if (n * vectors < kLeastThreads && n < heads && (n + 1) * vectors <= kMostThreads) continue;
    const unsigned warps = (n * vectors + kWarp - 1) / kWarp;
    const unsigned lanes = (heads + n - 1) / n * warps * kWarp;
    if (lanes >= least) continue;
    least = lanes;
    best = n;
  }
  return best;
}

template <class T>
cudaError_t start(const void* kernel, dim3 blocks, dim3 threads, const Typed<T>& typed, const Place& place) {
  return common::start_with(kernel,
                            {.blocks = blocks,
                             .threads = threads,
                             .device = place.device,
                             .stream = static_cast<cudaStream_t>(place.stream)},
                            typed);
}

template <class T>
bool aligned(const Heads& heads, std::int64_t tokens) {
  const std::int64_t size = sizeof(T);
  return heads.heads == 0 || (common::aligned_rows(heads.data, tokens > 1 ? heads.token_stride : 0, size) &&
                              (heads.heads < 2 || common::aligned_rows(heads.data, heads.head_stride, size)));
}

template <class T>
TypedHeads<T> typed_heads(const Heads& heads) {
  return {static_cast<T*>(heads.data), static_cast<unsigned>(heads.heads),
          common::step_of(heads.token_stride, sizeof(T)), common::step_of(heads.head_stride, sizeof(T))};
}

/// What `rotate` needs of tokens from `first` on, at most as many as a grid has room for.
template <class T>
Typed<T> part_of(const Typed<T>& all, std::int64_t first) {
  Typed<T> part = all;
  part.tokens = all.tokens - first < kMostY ? all.tokens - first : kMostY;
  part.query.data += first * all.query_strides.token;
  part.key.data += first * all.key_strides.token;
  part.positions = static_cast<const char*>(all.positions) + first * (all.is_long != 0 ? 8 : 4);
  return part;
}

/// The kernel for a grid of so many blocks.
template <Style kStyle, class T, int kHeads>
const void* turns_of(const dim3& grid) {
  if (!common::dependent_launch())
    return reinterpret_cast<const void*>(&rotate<kStyle, T, kHeads, Order::signal>);
  if constexpr (kHeads == 1)
    if (static_cast<std::uint64_t>(grid.x) * grid.y <= kFewBlocks)
      return reinterpret_cast<const void*>(&rotate<kStyle, T, kHeads, Order::wait>);
  return reinterpret_cast<const void*>(&rotate<kStyle, T, kHeads, Order::branches>);
}

template <Style kStyle, class T, int kHeads>
cudaError_t start_turns(const Typed<T>& typed, unsigned vectors, const Place& place) {
  const unsigned shared = (typed.query.heads + typed.key.heads + kHeads - 1) / kHeads;
  const unsigned each = heads_of_block(shared, vectors);
  for (std::int64_t first = 0; first < typed.tokens; first += kMostY) {
    const auto part = part_of(typed, first);
    const dim3 grid((shared + each - 1) / each, static_cast<unsigned>(part.tokens));
    const cudaError_t error =
        start(turns_of<kStyle, T, kHeads>(grid), grid, dim3(vectors, each), part, place);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <Style kStyle, class T>
cudaError_t choose_width(const Operands& o, const Place& place) {
  constexpr std::int64_t kWidth = 16 / sizeof(T);
  const std::int64_t half = o.rotary_dim / 2;
  const std::int64_t heads = o.query.heads + o.key.heads;
  if (heads > kMostHeads || half > kMostHeads) return cudaErrorInvalidValue;
  const bool is_long = o.position_type == common::ElementType::int64;
  constexpr std::int64_t kShortPositions = std::int64_t{1} << 31;
  const Typed<T> typed{
      o.positions,
      is_long ? 1U : 0U,
      common::step_of(o.cache_stride, sizeof(T)),
      static_cast<const T*>(o.cache),
      typed_heads<T>(o.query),
      typed_heads<T>(o.key),
      static_cast<std::uint64_t>(is_long ? o.cache_rows : std::min(o.cache_rows, kShortPositions)),
      o.tokens,
      static_cast<std::uint64_t>(o.cache_stride),
      static_cast<unsigned>(half),
      {o.query.token_stride, o.query.head_stride},
      {o.key.token_stride, o.key.head_stride}};
  const bool wide = o.tokens <= common::kMostBlocks && half % kWidth == 0 && half / kWidth <= kMostThreads &&
                    aligned<T>(o.query, o.tokens) && aligned<T>(o.key, o.tokens) &&
                    common::aligned_rows(o.cache, o.cache_stride, sizeof(T));
  if (!wide) {
    const std::int64_t pieces = (heads * half + kLeastThreads - 1) / kLeastThreads;
    const dim3 grid(static_cast<unsigned>(pieces < kMostHeads ? pieces : kMostHeads), token_blocks(o.tokens));
    return start(reinterpret_cast<const void*>(&rotate_any<kStyle, T>), grid, dim3(kLeastThreads), typed,
                 place);
  }
  const auto vectors = static_cast<unsigned>(half / kWidth);
  return typed.tokens < kSeveralTokens || typed.tokens >= kTokensInWaves
             ? start_turns<kStyle, T, 1>(typed, vectors, place)
             : start_turns<kStyle, T, 2>(typed, vectors, place);
}

template <class T>
cudaError_t choose_style(Style style, const Operands& o, const Place& place) {
  return style == Style::neox ? choose_width<Style::neox, T>(o, place)
                              : choose_width<Style::gptj, T>(o, place);
}

}  // namespace

const char* launch(Style style, const Operands& o, Place place) {
  if (o.tokens == 0 || o.rotary_dim == 0 || o.query.heads + o.key.heads == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose_style<T>(style, o, place); });
}

}  // namespace kernels::rotary
