#include "common/launch.h"
#include "rotary/rotary.cuh"

namespace kernels::rotary {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kLeastThreads = 128;
constexpr unsigned kMostThreads = 256;
constexpr std::int64_t kMostY = 65535;  // of a grid's second dimension
constexpr std::int64_t kMostHeads = 0x3fffffff;

/// Tokens along y: as many blocks as there are, or an even share of them.
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
                              (heads.heads < 2 || heads.head_stride * size % 16 == 0));
}

template <class T>
TypedHeads<T> typed_heads(const Heads& heads) {
  return {static_cast<T*>(heads.data), static_cast<unsigned>(heads.heads), heads.token_stride,
          heads.head_stride};
}

template <Style kStyle, class T>
cudaError_t choose_width(const Operands& o, const Place& place) {
  constexpr std::int64_t kWidth = 16 / sizeof(T);
  const std::int64_t half = o.rotary_dim / 2;
  const std::int64_t heads = o.query.heads + o.key.heads;
  if (heads > kMostHeads || half > kMostHeads) return cudaErrorInvalidValue;
  const Typed<T> typed{typed_heads<T>(o.query),
                       typed_heads<T>(o.key),
                       o.positions,
                       static_cast<const T*>(o.cache),
                       o.tokens,
                       o.cache_stride,
                       static_cast<unsigned>(half),
                       o.position_type == common::ElementType::int64};
  const bool wide = half % kWidth == 0 && half / kWidth <= kMostThreads && aligned<T>(o.query, o.tokens) &&
                    aligned<T>(o.key, o.tokens) && common::aligned_rows(o.cache, o.cache_stride, sizeof(T));
  if (!wide) {
    const std::int64_t pieces = (heads * half + kLeastThreads - 1) / kLeastThreads;
    const dim3 grid(static_cast<unsigned>(pieces < kMostHeads ? pieces : kMostHeads), token_blocks(o.tokens));
    return start(reinterpret_cast<const void*>(&rotate_any<kStyle, T>), grid, dim3(kLeastThreads), typed,
                 place);
  }
  const auto vectors = static_cast<unsigned>(half / kWidth);
  const auto all = static_cast<unsigned>(heads);
  const unsigned each = heads_of_block(all, vectors);
  return start(reinterpret_cast<const void*>(&rotate<kStyle, T>),
               dim3((all + each - 1) / each, token_blocks(o.tokens)), dim3(vectors, each), typed, place);
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
