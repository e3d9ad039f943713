#include "kernels/bench/statistics.h"

#include <array>
#include <cmath>

#include "operands.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels::bench;

TEST_CASE("statistics: quantiles interpolate between order statistics", "[bench]") {
  const std::array<double, 5> five = {1, 2, 3, 4, 10};
  CHECK(quantile(five, 0) == 1);
  CHECK(quantile(five, 0.5) == 3);
  CHECK(quantile(five, 1) == 10);
  CHECK(quantile(five, 0.25) == 2);
  CHECK(quantile(five, 0.9) == kernels::test::Approx(7.6));
  const std::array<double, 1> one = {7};
  CHECK(quantile(one, 0.95) == 7);
}

TEST_CASE("statistics: ranks around the median are those of the binomial tables", "[bench]") {
  // Standard table of the sign test's 95 % intervals (1-based ranks: n = 6: 1..6, 10: 2..9, 20: 6..15,
  // 100: 40..61).
  struct Row {
    std::size_t n, low, high;
  };
  for (const auto& [n, low, high] :
       {Row{1, 1, 1}, Row{5, 1, 5}, Row{6, 1, 6}, Row{10, 2, 9}, Row{20, 6, 15}, Row{100, 40, 61}}) {
    const auto ranks = median_ranks(n, 0.95);
    INFO("n = " << n);
    CHECK(ranks.low + 1 == low);
    CHECK(ranks.high + 1 == high);
  }
}

TEST_CASE("statistics: the interval holds the true median as often as it promises", "[bench]") {
  // An exponential distribution, whose median is ln 2: skewed as times are.
  Random random(kernels::test::seed());
  int held = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> samples;
    for (int i = 0; i < 41; ++i)
      samples.push_back(-std::log((static_cast<double>(random.next() >> 11) + 1) * 0x1p-53));
    const Summary summary = summarize(samples);
    if (summary.median_low <= std::log(2.0) && std::log(2.0) <= summary.median_high) ++held;
  }
  // 95 % or a little more; five standard deviations of the count below that would be a mistake.
  CHECK(held > static_cast<int>(0.925 * kRounds));
}

TEST_CASE("statistics: a summary of a uniform ladder is exact", "[bench]") {
  std::vector<double> ladder;
  for (int i = 100; i >= 0; --i)
    ladder.push_back(i);
  const Summary summary = summarize(ladder);
  CHECK(summary.samples == 101);
  CHECK(summary.median == 50);
  CHECK(summary.min == 0);
  CHECK(summary.p95 == 95);
  CHECK(summary.spread == 1);
  CHECK(summary.median_low < 50);
  CHECK(summary.median_high > 50);
  CHECK(summarize({}).samples == 0);
}

TEST_CASE("random: the same seed gives the same numbers, bounded and centred", "[bench]") {
  Random a(7);
  Random b(7);
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double value = a.value();
    REQUIRE(value == b.value());
    REQUIRE(std::fabs(value) <= 4.0);
    sum += value;
    squares += value * value;
  }
  CHECK(std::fabs(sum / kCount) < 0.02);
  CHECK(std::sqrt(squares / kCount) == kernels::test::Approx(1.1547).margin(0.02));
}
