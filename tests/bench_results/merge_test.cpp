#include <cmath>

#include "kernels/bench/compare.h"

#include "random_results.h"
#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::bench;
using test::add_row;
using test::add_time;
using test::run_on;

namespace {

/// One job of an array: one device, two rows, slower than 1000 ns and 5000 ns by a factor.
Results job(int number, double factor, const std::string& name = "NVIDIA H200") {
  auto run = run_on(1, name);
  run.host = "rack1-" + std::to_string(number);
  run.job = "slurm 4711_" + std::to_string(number);
  run.devices[0].uuid = "GPU-" + std::to_string(number);
  add_time(run, "rms_norm", 1000 * factor);
  add_time(run, "silu", 5000 * factor);
  return run;
}

Fleet merged(const std::vector<Results>& runs, double threshold = 0.03) {
  auto out = merge(runs, threshold);
  INFO((out ? "" : describe(out.error())));
  REQUIRE(out);
  return std::move(*out);
}

}  // namespace

TEST_CASE("merge: rows keep their device and subject, and stand one run behind the other", "[bench]") {
  auto second = job(2, 1);
  second.subjects.insert(second.subjects.begin(), Subject());
  second.subjects[0].kernel = "else";
  second.rows[0].subject = 1;
  const auto fleet = merged({job(1, 1), second});
  const auto& all = fleet.merged;
  CHECK(all.host == "rack1-1");
  CHECK(all.job == "slurm 4711_1");
  REQUIRE(all.devices.size() == 2);
  REQUIRE(all.rows.size() == 4);
  REQUIRE(all.subjects.size() == 2);  // the one that both have is there once
  CHECK(all.subjects[all.rows[0].subject].kernel == "kernels-community/rmsnorm");
  CHECK(all.rows[2].device == 1);
  CHECK(all.rows[2].subject == 0);
  CHECK(all.subjects[all.rows[3].subject].kernel == "else");
  CHECK(fleet.sources == std::vector<std::string>{"rack1-1, slurm 4711_1", "rack1-2, slurm 4711_2"});
  CHECK(parse_results(encode_results(all), "merged") == all);
}

TEST_CASE("merge: the device that is slower than its fleet is found", "[bench]") {
  std::vector<Results> runs;
  for (int i = 0; i < 8; ++i)
    runs.push_back(job(i, i == 5 ? 1.10 : i == 2 ? 1.05 : 1 + 0.002 * i));
  const auto fleet = merged(runs);
  REQUIRE(fleet.outliers.size() == 2);
  CHECK(fleet.outliers[0].host == "rack1-5");
  CHECK(fleet.outliers[0].job == "slurm 4711_5");
  CHECK(fleet.outliers[0].uuid == "GPU-5");
  CHECK(fleet.outliers[0].device == "NVIDIA H200");
  CHECK(fleet.outliers[0].rows == 2);
  CHECK(fleet.outliers[0].ratio.value == test::Approx(1.10).epsilon(0.01));
  CHECK(fleet.outliers[1].host == "rack1-2");
}

TEST_CASE("merge: a device is judged by the geometric mean over its rows, whose range is told", "[bench]") {
  std::vector<Results> runs = {job(0, 1), job(1, 1), job(2, 1), job(3, 1)};
  runs[3].rows.clear();
  add_time(runs[3], "rms_norm", 1500);
  add_time(runs[3], "silu", 4800);
  const auto fleet = merged(runs);
  REQUIRE(fleet.outliers.size() == 1);
  CHECK(fleet.outliers[0].ratio.value == test::Approx(std::sqrt(1.5 * 0.96)));
  CHECK(fleet.outliers[0].ratio.low == test::Approx(0.96));
  CHECK(fleet.outliers[0].ratio.high == test::Approx(1.5));
}

TEST_CASE("merge: who is no outlier", "[bench]") {
  SECTION("of two devices neither") {
    CHECK(merged({job(0, 1), job(1, 2)}).outliers.empty());
  }
  SECTION("another name is another fleet") {
    CHECK(merged({job(0, 1), job(1, 1), job(2, 2, "NVIDIA A10")}).outliers.empty());
  }
  SECTION("another variant is another row") {
    auto slow = job(2, 2);
    slow.subjects[0].variant_sha256 = "cd34";
    CHECK(merged({job(0, 1), job(1, 1), slow}).outliers.empty());
  }
  SECTION("within the threshold") {
    CHECK(merged({job(0, 1), job(1, 1), job(2, 1.05)}, 0.06).outliers.empty());
    CHECK(merged({job(0, 1), job(1, 1), job(2, 1.05)}, 0.04).outliers.size() == 1);
  }
  SECTION("the fast one") {
    CHECK(merged({job(0, 1), job(1, 1), job(2, 0.5)}).outliers.empty());
  }
  SECTION("rows without a time") {
    auto none = job(2, 1);
    for (auto& row : none.rows)
      row.result.timing.reset();
    CHECK(merged({job(0, 1), job(1, 2), none}).outliers.empty());
  }
}

TEST_CASE("merge: devices of one host are a fleet too", "[bench]") {
  auto run = run_on(8);
  for (std::uint32_t device = 0; device < 8; ++device)
    add_time(run, "rms_norm", device == 6 ? 1200 : 1000, device);
  const auto fleet = merged({run});
  REQUIRE(fleet.outliers.size() == 1);
  CHECK(fleet.outliers[0].uuid == "GPU-6");
  CHECK(fleet.merged == run);
}

TEST_CASE("merge: what cannot be merged", "[bench]") {
  CHECK(merge({}, 0.03).error().code() == Errc::invalid_argument);
  CHECK(merge({job(0, 1)}, 1).error().code() == Errc::invalid_argument);
  CHECK(merge({job(0, 1)}, std::nan("")).error().code() == Errc::invalid_argument);
  // Two tasks of an array may start on one device in the same second.
  auto other = job(0, 1);
  other.job = "slurm 4711_9";
  CHECK(merge({job(0, 1), other}, 0.03));
  const auto twice = merge({job(0, 1), job(1, 1), job(0, 1)}, 0.03);
  REQUIRE_FALSE(twice);
  CHECK(twice.error().code() == Errc::invalid_argument);
  CHECK(twice.error().text() ==
        "`NVIDIA H200` of `rack1-0`, measured at `2026-11-22T17:12:54Z`, is there twice");
  SECTION("the same device at another time is another measurement") {
    auto later = job(0, 1);
    later.started = "2026-11-23T08:00:00Z";
    CHECK(merged({job(0, 1), later}).merged.devices.size() == 2);
  }
  SECTION("processors have no UUID, but a host") {
    auto one = job(0, 1);
    auto other = job(1, 1);
    one.devices[0].uuid = other.devices[0].uuid = "";
    CHECK(merge({one, other}, 0.03));
    other.host = one.host;
    CHECK(merge({one, other}, 0.03));  // two tasks of a job
    other.job = one.job;
    CHECK_FALSE(merge({one, other}, 0.03));
  }
}

TEST_CASE("merge: nothing of any runs is lost", "[bench]") {
  std::mt19937_64 random(test::seed());
  int merged_runs = 0;
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    std::vector<Results> runs;
    for (int i = 0; i < 3; ++i)
      runs.push_back(test::random_results(random));
    const auto fleet = merge(runs, 0.01);
    if (!fleet) continue;
    ++merged_runs;
    std::size_t next = 0;
    std::uint32_t first_device = 0;
    for (const auto& run : runs) {
      for (const auto& row : run.rows) {
        const auto& copy = fleet->merged.rows.at(next++);
        REQUIRE(copy.result == row.result);
        REQUIRE(copy.device == first_device + row.device);
        REQUIRE(fleet->merged.subjects.at(copy.subject) == run.subjects[row.subject]);
      }
      first_device += static_cast<std::uint32_t>(run.devices.size());
    }
    REQUIRE(next == fleet->merged.rows.size());
    REQUIRE(fleet->sources.size() == fleet->merged.devices.size());
  }
  CHECK(merged_runs > 200);
}
