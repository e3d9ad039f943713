#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "measures.h"
#include "random_results.h"
#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"
#include "text.h"
#include "view_bench_compare.h"

using namespace kernels;
using namespace kernels::bench;
using Json = nlohmann::ordered_json;
using test::add_row;
using test::add_time;
using test::run_on;

namespace {

Comparison four_rows() {
  auto before = run_on(1);
  add_time(before, "rms_norm", 1000);
  add_time(before, "silu", 34'500);
  add_time(before, "rope", 2'000'000);
  add_row(before, "softmax");
  auto after = run_on(1);
  add_time(after, "rms_norm", 1030);
  add_time(after, "silu", 30'000);
  add_time(after, "rope", 2'000'000);
  auto& softmax = add_row(after, "softmax").result;
  softmax.verdict = Verdict::wrong;
  softmax.reason = "element 3 is \x1b[31m7";
  return *compare(before, after, {});
}

void check_width(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    CAPTURE(line);
    CHECK(app::display_width(line) <= 100);
  }
}

}  // namespace

TEST_CASE("measures: times, changes and shares as people read them", "[app]") {
  CHECK(app::time_text(812) == "812.0 ns");
  CHECK(app::time_text(34'516) == "34.52 us");
  CHECK(app::time_text(1.2e6) == "1.200 ms");
  CHECK(app::time_text(2e9) == "2.000 s");
  CHECK(app::time_text(1e18) == "1e+09 s");
  CHECK(app::interval_text(summarize({98, 98, 98, 100, 100, 100, 103})) == "-2.00 to +3.00 %");
  CHECK(app::interval_text({}) == "-");
  CHECK(app::share_text(0.9718) == "97.2 %");
  CHECK(app::speedup_text({.value = 1.25, .low = 1.214, .high = 1.3}) == "1.25x (1.21 to 1.30)");
  CHECK(app::change_text({.value = 1.03, .low = 1.028, .high = 1.032}) == "+3.00 % (+2.80 to +3.20)");
  CHECK(app::change_text({.value = 0.5, .low = 0, .high = 1e300}) == "-50.00 % (-100.00 to +1e+302)");
}

TEST_CASE("compare: the table says what became of each row", "[app]") {
  const auto text = app::comparison_text(four_rows());
  CHECK(text ==
        "FUNCTION  TYPE     WORKLOAD  BEFORE    NOW       TIME                         VERDICT\n"
        "rms_norm  float32  llama     1.000 us  1.030 us  +3.00 % (+2.96 to +3.04)     SLOWER\n"
        "silu      float32  llama     34.50 us  30.00 us  -13.04 % (-13.08 to -13.01)  FASTER\n"
        "rope      float32  llama     2.000 ms  2.000 ms  0.00 % (-0.04 to +0.04)      SAME\n"
        "softmax   float32  llama     -         -         -                            BROKEN\n"
        "\n"
        "softmax float32 llama: wrong: element 3 is ?[31m7\n"
        "2 rows changed although the bytes are the same: look at the machine\n"
        "1 BROKEN, 1 SLOWER, 1 SAME, 1 FASTER; up to 1.0 % is the same\n");
}

TEST_CASE("compare: kernels, devices and sizes are shown where they tell rows apart", "[app]") {
  auto run = run_on(1);
  add_time(run, "rms_norm", 1000);
  add_time(run, "rms_norm", 2000).sizes["rows"] = 1;
  CHECK_THAT(app::comparison_text(*compare(run, run, {})), test::contains("llama cols=4096 rows=1"));
  run.devices.push_back(run.devices[0]);
  run.devices[1].name = "NVIDIA A10";
  run.subjects.push_back(run.subjects[0]);
  run.subjects[1].kernel = "kernels-community/activation-of-another-kind";
  add_time(run, "a_function_with_a_rather_long_name", 2000, 1).subject = 1;
  const auto text = app::comparison_text(*compare(run, run, {}));
  CHECK_THAT(text, test::contains("KERNEL"));
  CHECK_THAT(text, test::contains("DEVICE"));
  CHECK_THAT(text, test::contains("3 SAME"));
  check_width(text);
}

TEST_CASE("compare: differences that were allowed are told, and nothing to compare too", "[app]") {
  auto after = run_on(1);
  after.settings.seed = 8;
  const auto text = app::comparison_text(*compare(run_on(1), after, {.despite_differences = true}));
  CHECK(text ==
        "compared although not alike: seed of the inputs: `7` before, `8` now\n"
        "nothing to compare; up to 1.0 % is the same\n");
}

TEST_CASE("compare: the JSON has every row with its interval", "[app]") {
  const auto json = Json::parse(app::comparison_json(four_rows()));
  CHECK(json["schema"] == "kernels.bench-compare/1");
  CHECK(json["threshold"] == 0.01);
  CHECK(json["has_regression"] == true);
  CHECK(json["counts"]["SLOWER"] == 1);
  CHECK(json["counts"]["ADDED"] == 0);
  CHECK(json["differences"].empty());
  REQUIRE(json["rows"].size() == 4);
  const auto& slower = json["rows"][0];
  CHECK(slower["change"] == "SLOWER");
  CHECK(slower["kernel"] == "kernels-community/rmsnorm");
  CHECK(slower["sizes"]["cols"] == 4096);
  CHECK(slower["device"] == "NVIDIA H200");
  CHECK(slower["same_bytes"] == true);
  CHECK(slower["reason"].is_null());
  CHECK(slower["before"]["samples"] == 101);
  CHECK(slower["ratio"]["low"].get<double>() < 1.03);
  CHECK(slower["ratio"]["high"].get<double>() > 1.03);
  const auto& broken = json["rows"][3];
  CHECK(broken["change"] == "BROKEN");
  CHECK(broken["reason"] == "wrong: element 3 is \x1b[31m7");
  CHECK(broken["before"].is_null());
  CHECK(broken["ratio"].is_null());
}

TEST_CASE("fleet: the devices that are slower, and how many there are", "[app]") {
  std::vector<Results> runs;
  for (int i = 0; i < 4; ++i) {
    auto run = run_on(1);
    run.host = "rack1-0" + std::to_string(i);
    run.job = "slurm 4711_" + std::to_string(i);
    run.devices[0].uuid = "GPU-6c1b1f0a-9a3e-5d5f-8e57-00000000000" + std::to_string(i);
    add_time(run, "rms_norm", i == 2 ? 1100 : 1000);
    runs.push_back(run);
  }
  const auto fleet = *merge(runs, 0.03);
  const auto text = app::fleet_text(fleet);
  CHECK_THAT(text, test::contains("4 × NVIDIA H200\n4 rows\n"));
  CHECK_THAT(text, test::contains("rack1-02"));
  CHECK_THAT(text, test::contains("+10.00 % (+10.00 to +10.00)"));
  CHECK_THAT(text, test::contains("1 device slower than the median of the fleet"));
  CHECK_FALSE(text.contains("rack1-01"));
  check_width(text);
  const auto json = Json::parse(app::fleet_json(fleet));
  CHECK(json["schema"] == "kernels.bench-fleet/1");
  CHECK(json["rows"] == 4);
  REQUIRE(json["devices"].size() == 4);
  CHECK(json["devices"][3]["source"] == "rack1-03, slurm 4711_3");
  REQUIRE(json["outliers"].size() == 1);
  CHECK(json["outliers"][0]["host"] == "rack1-02");
  CHECK(json["outliers"][0]["ratio"]["value"].get<double>() == test::Approx(1.1));
  runs.erase(runs.begin() + 2);
  CHECK_THAT(app::fleet_text(*merge(runs, 0.03)), test::contains("no device is slower than its fleet"));
}

TEST_CASE("compare: hostile runs stay within the terminal and are good JSON", "[app]") {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    auto before = test::random_results(random);
    auto after = test::random_results(random);
    for (auto* run : {&before, &after})
      for (auto& row : run->rows)
        row.result.reason += "\xff";
    const auto comparison = compare(before, after, {.despite_differences = true});
    if (!comparison) continue;
    const auto text = app::comparison_text(*comparison);
    auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; };
    REQUIRE(std::ranges::none_of(text, is_control));
    REQUIRE(Json::accept(app::comparison_json(*comparison)));
    if (const auto fleet = merge({before, after}, 0)) {
      REQUIRE(std::ranges::none_of(app::fleet_text(*fleet), is_control));
      REQUIRE(Json::accept(app::fleet_json(*fleet)));
    }
  }
}
