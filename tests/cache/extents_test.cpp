#include "kernels/cache/extents.h"

#include <random>
#include <vector>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels::cache;

TEST_CASE("extents: pieces that touch become one, and what is missing is what was not added", "[cache]") {
  ExtentSet set;
  set.add({.begin = 10, .end = 20});
  set.add({.begin = 30, .end = 40});
  CHECK(set.missing(50) == std::vector<Extent>{{0, 10}, {20, 30}, {40, 50}});
  set.add({.begin = 20, .end = 30});
  CHECK(set.missing(50) == std::vector<Extent>{{0, 10}, {40, 50}});
  CHECK(set.contiguous_end(10) == 40);
  CHECK(set.contiguous_end(5) == 5);
  CHECK(set.missing_within({.begin = 15, .end = 45}) == std::vector<Extent>{{40, 45}});
  CHECK(set.total() == 30);
}

TEST_CASE("extents: random pieces agree with a map of single bytes", "[cache]") {
  auto seed = kernels::test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t kSize = 200;
  for (int round = 0; round < 200; ++round) {
    ExtentSet set;
    std::vector<bool> bytes(kSize, false);
    for (int i = 0; i < 12; ++i) {
      auto begin = random() % kSize;
      auto end = begin + random() % (kSize - begin + 1);
      set.add({.begin = begin, .end = end});
      for (auto at = begin; at < end; ++at)
        bytes[at] = true;
    }
    std::vector<bool> missing(kSize, false);
    for (const auto& gap : set.missing(kSize))
      for (auto at = gap.begin; at < gap.end; ++at)
        missing[at] = true;
    for (std::uint64_t at = 0; at < kSize; ++at)
      REQUIRE(missing[at] != bytes[at]);
  }
}
