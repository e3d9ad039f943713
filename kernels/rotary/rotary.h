#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/place.h"

namespace kernels::rotary {

/// Which elements of a head are turned together: j and j + rotary_dim / 2, or 2j and 2j + 1.
enum class Style : std::uint8_t { neox, gptj };

/// Heads of all tokens; strides in elements.
struct Heads {
  void* data;
  std::int64_t heads;
  std::int64_t token_stride;
  std::int64_t head_stride;
};

/// The operands of one call.
struct Operands {
  Heads query;
  Heads key;
  const void* positions;  ///< one for each token, without gaps
  const void* cache;      ///< of each position: rotary_dim / 2 cosines, then as many sines
  std::int64_t tokens;
  std::int64_t rotary_dim;  ///< even, not more than the elements of a head
  std::int64_t cache_rows;  ///< positions that the cache has
  std::int64_t cache_stride;
  common::ElementType type;           ///< of query, key and cache
  common::ElementType position_type;  ///< int32 or int64
};

using common::Place;

/// For each token t, each of its heads h of the query and of the key, and each pair (a, b) of that head:
///
/// a' = a * cos(p, j) - b * sin(p, j),  b' = b * cos(p, j) + a * sin(p, j),  p = positions[t], in place.
///
/// Shapes  query, key: [tokens, heads, head_dim]; cache: [positions, rotary_dim]. What a head has behind
///         rotary_dim is not touched.
/// Types   float32, float16 or bfloat16, one for all; arithmetic in float32, rounded once.
/// Needs   no two heads share an element, no two operands overlap; on the CPU every position in the cache,
///         which the binding checks. CUDA code leaves a token as it is whose position is not.
/// Stream  CUDA: asynchronous on `stream`; no allocation, no synchronisation. CPU: done on return.
/// Errors  null, or the text of the launch error. Empty operands are success.
/// Source  Su et al. 2021, arXiv:2104.09864, equation 34.
const char* launch(Style style, const Operands& operands, Place place);

/// The same in float64 on the CPU, for any of the four element types: what the others are compared with.
void reference(Style style, const Operands& operands);

}  // namespace kernels::rotary
