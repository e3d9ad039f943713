// Who wins among kernels that were measured on the same shapes, and who does not.

#include "kernels/bench/contest.h"

#include <cmath>
#include <deque>

#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

/// Kernels by their times at a few workloads; a time of zero: not right there.
class Contest {
 public:
  explicit Contest(const std::vector<std::vector<double>>& times) {
    for (const auto& kernel : times) {
      auto& run = runs_.emplace_back(test::run_on(1));
      for (std::size_t i = 0; i < kernel.size(); ++i) {
        auto& row = kernel[i] > 0 ? test::add_time(run, "f", kernel[i]) : test::add_row(run, "f");
        row.workload = "w" + std::to_string(i);
        if (kernel[i] <= 0) row.result.verdict = Verdict::wrong;
      }
    }
  }
  ContestRows rows() const {
    ContestRows out;
    for (const auto& run : runs_) {
      out.emplace_back();
      for (const auto& row : run.rows)
        out.back().push_back(&row);
    }
    return out;
  }
  Choice choose(std::size_t present, double threshold = 0.01) const {
    return bench::choose(rows(), present, std::vector<bool>(runs_.size(), true), threshold);
  }
  Results& run(std::size_t kernel) { return runs_[kernel]; }

 private:
  std::deque<Results> runs_;
};

}  // namespace

TEST_CASE("contest: the lowest geometric mean wins, if it is faster for certain", "[bench]") {
  Contest contest({{100, 400}, {90, 300}, {200, 100}});
  auto choice = contest.choose(0);
  CHECK(choice.winner == 2);
  CHECK(choice.best == 2);
  CHECK(choice.next == 1);
  auto ratio = ratio_between(contest.rows()[2], contest.rows()[0]);
  CHECK(ratio.value == test::Approx(std::sqrt(2 * 0.25)).epsilon(1e-6));
  CHECK(ratio.low < ratio.value);
  CHECK(ratio.high > ratio.value);
  CHECK_FALSE(contest.choose(2).winner);
  CHECK(contest.choose(2).reason == "it is the fastest that is right");
}

TEST_CASE("contest: what is there stays where the whole interval is not below 1 - threshold", "[bench]") {
  // The intervals of the medians are 0.03 % to each side.
  CHECK_FALSE(Contest({{100}, {99.01}}).choose(0).winner);
  CHECK(Contest({{100}, {98.9}}).choose(0).winner == 1);
  CHECK_FALSE(Contest({{100}, {98.9}}).choose(0, 0.02).winner);
  CHECK_FALSE(Contest({{100}, {100}}).choose(0, 0).winner);
  CHECK(Contest({{100}, {99.01}}).choose(0).reason == "no candidate is faster for certain");
}

TEST_CASE("contest: a kernel that is wrong anywhere cannot win, and gives way", "[bench]") {
  Contest fast({{100, 100}, {1, 0}});
  CHECK_FALSE(fast.choose(0).winner);
  CHECK(standings(fast.rows())[1].flaw == "wrong at w1 float32");
  CHECK(standings(fast.rows())[1].mean_ns == 0);
  auto slow = fast.choose(1);
  CHECK(slow.winner == 0);
  CHECK(slow.reason == "what was mapped is not right: wrong at w1 float32");
  auto none = Contest({{0}, {0}}).choose(0);
  CHECK_FALSE(none.winner);
  CHECK(none.reason == "no candidate is right everywhere");
}

TEST_CASE("contest: what was not measured everywhere cannot win, and does not give way", "[bench]") {
  Contest contest({{100, 100}, {1}});
  CHECK_FALSE(contest.choose(0).winner);
  CHECK(standings(contest.rows())[1].flaw == "not measured at w1 float32");
  auto choice = contest.choose(1);
  CHECK_FALSE(choice.winner);
  CHECK(choice.reason == "what is mapped was not measured in full: not measured at w1 float32");
  // No room on this machine is not the kernel's doing.
  contest.run(1).rows[0].result.verdict = Verdict::out_of_memory;
  CHECK_FALSE(contest.choose(1).winner);
  contest.run(1).rows[0].result.verdict = Verdict::crashed;
  CHECK(contest.choose(1).winner == 0);
}

TEST_CASE("contest: who may not win does not, and what is not among them stays", "[bench]") {
  Contest contest({{100}, {10}, {50}});
  auto rows = contest.rows();
  CHECK(choose(rows, 0, {true, false, true}, 0.01).winner == 2);
  CHECK_FALSE(choose(rows, std::nullopt, {true, true, true}, 0.01).winner);
}

TEST_CASE("contest: of a few samples nothing is certain", "[bench]") {
  Contest contest({{100, 100}, {10, 10}});
  contest.run(1).rows[0].result.timing->series[SeriesKind::cold].samples.resize(5);
  auto choice = contest.choose(0);
  CHECK_FALSE(choice.winner);
  CHECK(choice.reason == "too few samples at w0 float32 to tell; a longer `--budget` takes more");
}

TEST_CASE("contest: probes are part of being right, and no part of the time", "[bench]") {
  Contest contest({{100}, {50}});
  auto& probes = test::add_row(contest.run(1), "f");
  probes.sizes.clear();
  probes.workload = "probes";
  CHECK(contest.choose(0).winner == 1);
  probes.result.verdict = Verdict::wrong;
  CHECK_FALSE(contest.choose(0).winner);
}

TEST_CASE("contest: between times that are the same there is no winner, in any order", "[bench]") {
  std::mt19937_64 random(test::seed());
  std::normal_distribution<double> noise(1, 0.02);
  std::size_t flagged = 0;
  constexpr int kRounds = 300;
  for (int round = 0; round < kRounds; ++round) {
    Contest contest({{100, 2000}, {100, 2000}, {100, 2000}});
    for (std::size_t kernel = 0; kernel < 3; ++kernel)
      for (auto& row : contest.run(kernel).rows)
        for (auto& sample : row.result.timing->series[SeriesKind::cold].samples)
          sample = (row.workload == "w0" ? 100 : 2000) * noise(random);
    flagged += contest.choose(0, 0).winner ? 1 : 0;
  }
  CHECK(flagged <= 3);
}
