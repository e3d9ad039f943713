#include <cstdint>
#include <limits>
#include <vector>

#include "rotary/rotary.h"
#include "support/catch.h"

// Positions lie on the device, where no binding looks at them: the CUDA code itself, run on the CPU, must not
// read beside the cache.

using kernels::common::ElementType;
using kernels::rotary::Style;

namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kHeads = 3;

/// Heads of `size` elements, all of which are turned, for each of some positions.
template <class Position>
struct Call {
  std::vector<Position> positions;
  std::int64_t size;
  std::vector<float> query = std::vector<float>(static_cast<std::size_t>(kHeads * size) * positions.size());
  std::vector<float> cache = std::vector<float>(static_cast<std::size_t>(kRows * size));

  Call(std::vector<Position> at, std::int64_t head) : positions(std::move(at)), size(head) {
    for (std::size_t i = 0; i < query.size(); ++i)
      query[i] = static_cast<float>(i % 23) - 11.0F;
    for (std::size_t i = 0; i < cache.size(); ++i)
      cache[i] = static_cast<float>(i % 13) / 16.0F + 2.0F;
  }

  void run(Style style) {
    const auto tokens = static_cast<std::int64_t>(positions.size());
    const char* error =
        launch(style,
               {.query = {query.data(), kHeads, kHeads * size, size},
                .key = {},
                .positions = positions.data(),
                .cache = cache.data(),
                .tokens = tokens,
                .rotary_dim = size,
                .cache_rows = kRows,
                .cache_stride = size,
                .type = ElementType::float32,
                .position_type = sizeof(Position) == 8 ? ElementType::int64 : ElementType::int32},
               {});
    REQUIRE(error == nullptr);
  }
};

/// What a token's heads are after the call, of the token at `index`.
template <class Position>
std::vector<float> token(const Call<Position>& call, std::size_t index) {
  const auto each = static_cast<std::ptrdiff_t>(kHeads * call.size);
  const auto begin = call.query.begin() + static_cast<std::ptrdiff_t>(index) * each;
  return {begin, begin + each};
}

/// One and two heads for each thread, vectors and single elements.
template <class Position>
void check_left_alone(const std::vector<Position>& outside) {
  for (const Style style : {Style::neox, Style::gptj})
    for (const std::int64_t size : {16, 6})
      for (const Position bad : outside) {
        CAPTURE(size, bad);
        const Call<Position> before({4, bad, 0}, size);
        auto call = before;
        call.run(style);
        Call<Position> good({4, 1, 0}, size);
        good.run(style);
        CHECK(token(call, 1) == token(before, 1));
        CHECK(token(good, 1) != token(before, 1));
        CHECK(token(call, 0) == token(good, 0));
        CHECK(token(call, 2) == token(good, 2));
        const Call<Position> alone({bad}, size);
        auto turned = alone;
        turned.run(style);
        CHECK(turned.query == alone.query);
      }
}

}  // namespace

TEST_CASE("rotary: CUDA code leaves a token as it is whose position is not in the cache", "[kernels]") {
  check_left_alone<std::int64_t>({kRows, -1, std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max(),
                                  std::numeric_limits<std::int64_t>::min()});
  check_left_alone<std::int32_t>({static_cast<std::int32_t>(kRows), -1,
                                  std::numeric_limits<std::int32_t>::max(),
                                  std::numeric_limits<std::int32_t>::min()});
}
