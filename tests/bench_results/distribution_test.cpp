// The promises of the statistics, held against distributions whose medians are known.

#include "kernels/bench/compare.h"

#include "distributions.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;

TEST_CASE("statistics: the interval holds the median of every distribution", "[bench]") {
  std::mt19937_64 random(test::seed());
  constexpr int kRounds = 3000;
  for (const auto& from : test::distributions())
    for (std::size_t count : {6UL, 7UL, 20UL, 41UL, 200UL}) {
      INFO(from.name << ", " << count << " samples");
      int held = 0;
      for (int round = 0; round < kRounds; ++round) {
        const auto summary = summarize(test::draw(random, from, count));
        held += summary.median_low <= from.median && from.median <= summary.median_high ? 1 : 0;
      }
      CHECK(held >= test::fewest_of(kRounds, 0.95));
      // It is not wide for safety either; with ties both ends are the median itself.
      if (std::string_view(from.name) != "ties") CHECK(held <= test::most_of(kRounds, 0.985));
    }
}

TEST_CASE("statistics: five samples or fewer do not hold the median with 95 %", "[bench]") {
  // All on one side of the median: 2 · 2^-n.
  std::mt19937_64 random(test::seed());
  constexpr int kRounds = 5000;
  const auto& from = test::distributions()[0];
  int held = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto summary = summarize(test::draw(random, from, kFewestSamples - 1));
    held += summary.median_low <= from.median && from.median <= summary.median_high ? 1 : 0;
  }
  CHECK(held <= test::most_of(kRounds, 1 - 2.0 / 32));
  CHECK(held >= test::fewest_of(kRounds, 1 - 2.0 / 32));
}

TEST_CASE("statistics: the interval of a ratio holds the true one, however unlike the noise", "[bench]") {
  std::mt19937_64 random(test::seed());
  constexpr int kRounds = 3000;
  for (const auto& [low_noise, high_noise] :
       {std::pair(0.001, 0.03), std::pair(0.02, 0.02), std::pair(0.03, 0.0)}) {
    INFO(low_noise << " and " << high_noise);
    int held = 0;
    for (int round = 0; round < kRounds; ++round) {
      std::vector<double> below(41);
      std::vector<double> above(101);
      for (double& sample : below)
        sample = 100 * std::exp(low_noise * test::normal(random));
      for (double& sample : above)
        sample = 103 * std::exp(high_noise * test::normal(random));
      const auto ratio = ratio_of(summarize(above), summarize(below));
      held += ratio.low <= 1.03 && 1.03 <= ratio.high ? 1 : 0;
    }
    CHECK(held >= test::fewest_of(kRounds, 0.95));
  }
}

TEST_CASE("compare: what did not change is called faster or slower once in a hundred at most", "[bench]") {
  std::mt19937_64 random(test::seed());
  constexpr int kRounds = 3000;
  for (const auto& from : test::distributions())
    for (double threshold : {0.0, 0.01}) {
      INFO(from.name << ", threshold " << threshold);
      int flagged = 0;
      for (int round = 0; round < kRounds; ++round) {
        const auto change = change_of(summarize(test::draw(random, from, 100)),
                                      summarize(test::draw(random, from, 120)), threshold);
        flagged += change == Change::faster || change == Change::slower ? 1 : 0;
      }
      CHECK(flagged <= test::most_of(kRounds, 0.01));
    }
}

TEST_CASE("compare: no change in 3000 is flagged where the noise is that of a good machine", "[bench]") {
  std::mt19937_64 random(test::seed());
  const test::Distribution quiet = {
      "quiet", [](std::mt19937_64& from) { return 100 * std::exp(0.005 * test::normal(from)); }, 100};
  int same = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto change =
        change_of(summarize(test::draw(random, quiet, 100)), summarize(test::draw(random, quiet, 100)), 0.01);
    REQUIRE(change != Change::faster);
    REQUIRE(change != Change::slower);
    same += change == Change::same ? 1 : 0;
  }
  CHECK(same > 2950);
}

TEST_CASE("compare: 3 % are found in every distribution 19 times of 20, and never called the other way",
          "[bench]") {
  std::mt19937_64 random(test::seed());
  constexpr int kRounds = 500;
  for (const auto& from : test::distributions()) {
    if (std::string_view(from.name) == "ties") continue;  // its clock ticks by 4 %
    for (double factor : {1.03, 1 / 1.03}) {
      INFO(from.name << ", factor " << factor);
      int found = 0;
      for (int round = 0; round < kRounds; ++round) {
        const auto change = change_of(summarize(test::draw(random, from, 400)),
                                      summarize(test::draw(random, from, 400, factor)), 0.01);
        REQUIRE(change != (factor > 1 ? Change::faster : Change::slower));
        found += change == (factor > 1 ? Change::slower : Change::faster) ? 1 : 0;
      }
      CHECK(found >= 0.95 * kRounds);
    }
  }
}

TEST_CASE("compare: a change of half the threshold is never called one", "[bench]") {
  std::mt19937_64 random(test::seed());
  const auto& from = test::distributions()[0];
  for (int round = 0; round < 1000; ++round) {
    const auto change = change_of(summarize(test::draw(random, from, 200)),
                                  summarize(test::draw(random, from, 200, 1.01)), 0.02);
    REQUIRE(change != Change::faster);
    REQUIRE(change != Change::slower);
  }
}

TEST_CASE("compare: few samples tell nothing", "[bench]") {
  const std::vector<double> many(100, 100.0);
  for (std::size_t count = 0; count < kFewestSamples; ++count) {
    const std::vector<double> few(count, 50.0);
    CHECK(change_of(summarize(many), summarize(few), 0.01) == Change::unsure);
    CHECK(change_of(summarize(few), summarize(many), 0.01) == Change::unsure);
  }
  const std::vector<double> enough(kFewestSamples, 50.0);
  CHECK(change_of(summarize(many), summarize(enough), 0.01) == Change::faster);
  CHECK(change_of(summarize(enough), summarize(many), 0.01) == Change::slower);
  // Noise as large as the change: with six samples it stays open far more often than it is found.
  std::mt19937_64 random(test::seed());
  const auto& from = test::distributions()[5];
  int unsure = 0;
  for (int round = 0; round < 500; ++round)
    unsure += change_of(summarize(test::draw(random, from, 6)), summarize(test::draw(random, from, 6, 1.03)),
                        0.01) == Change::unsure;
  CHECK(unsure > 400);
}
