#include "common/double_view.h"
#include "rotary/rotary.h"

namespace kernels::rotary {
namespace {

void rotate(Style style, const Operands& o, const Heads& which, std::int64_t token) {
  const std::int64_t half = o.rotary_dim / 2;
  const std::int64_t position = common::load_whole(o.positions, o.position_type, token);
  for (std::int64_t head = 0; head < which.heads; ++head) {
    const std::int64_t first = token * which.token_stride + head * which.head_stride;
    for (std::int64_t j = 0; j < half; ++j) {
      const std::int64_t at_a = first + (style == Style::neox ? j : 2 * j);
      const std::int64_t at_b = first + (style == Style::neox ? j + half : 2 * j + 1);
      const double a = common::load_double(which.data, o.type, at_a);
      const double b = common::load_double(which.data, o.type, at_b);
      const double cosine = common::load_double(o.cache, o.type, position * o.cache_stride + j);
      const double sine = common::load_double(o.cache, o.type, position * o.cache_stride + half + j);
      common::store_double(which.data, o.type, at_a, a * cosine - b * sine);
      common::store_double(which.data, o.type, at_b, b * cosine + a * sine);
    }
  }
}

}  // namespace

void reference(Style style, const Operands& o) {
  for (std::int64_t token = 0; token < o.tokens; ++token) {
    rotate(style, o, o.query, token);
    rotate(style, o, o.key, token);
  }
}

}  // namespace kernels::rotary
