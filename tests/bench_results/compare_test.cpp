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

Comparison compared(const Results& before, const Results& after, CompareRules rules = {}) {
  auto out = compare(before, after, rules);
  INFO((out ? "" : describe(out.error())));
  REQUIRE(out);
  return std::move(*out);
}

/// A summary whose interval is `low` to `high`.
Summary interval(double low, double high) {
  Summary out;
  out.samples = 100;
  out.median_low = low;
  out.median_high = high;
  out.median = (low + high) / 2;
  return out;
}

}  // namespace

TEST_CASE("compare: the rule for a change", "[bench]") {
  struct Row {
    const char* name;
    double low, high, threshold;
    Change change;
  };
  // The old time is 100 exactly, so that the ratio's interval is the new one's.
  for (const auto& row :
       {Row{"wholly above", 102, 103, 0.01, Change::slower},
        Row{"touching the threshold", 101, 103, 0.01, Change::unsure},
        Row{"from within to above", 100.5, 102, 0.01, Change::unsure},
        Row{"within", 99.5, 100.5, 0.01, Change::same}, Row{"just within", 99, 101, 0.01, Change::same},
        Row{"wholly below", 97, 98, 0.01, Change::faster},
        Row{"from below to within", 98, 100, 0.01, Change::unsure},
        Row{"over everything", 90, 110, 0.01, Change::unsure},
        Row{"a wider threshold", 102, 103, 0.05, Change::same},
        Row{"no threshold, no change", 100, 100, 0, Change::same},
        Row{"no threshold, a change", 100.01, 100.02, 0, Change::slower},
        Row{"a time of zero", 0, 0, 0.01, Change::unsure},
        Row{"a time that may be zero", 0, 110, 0.01, Change::unsure}}) {
    DYNAMIC_SECTION(row.name) {
      CHECK(change_of(interval(100, 100), interval(row.low, row.high), row.threshold) == row.change);
    }
  }
  CHECK(change_of(interval(0, 0), interval(100, 100), 0.01) == Change::unsure);
}

TEST_CASE("compare: faster, slower and same stand in the order of the new run", "[bench]") {
  auto before = run_on(1);
  add_time(before, "slower", 1000);
  add_time(before, "faster", 1000);
  add_time(before, "same", 1000);
  auto after = run_on(1);
  add_time(after, "same", 1002);
  add_time(after, "faster", 900);
  add_time(after, "slower", 1030);
  const auto comparison = compared(before, after);
  REQUIRE(comparison.rows.size() == 3);
  CHECK(comparison.rows[0].change == Change::same);
  CHECK(comparison.rows[1].change == Change::faster);
  CHECK(comparison.rows[2].change == Change::slower);
  CHECK(comparison.rows[2].function == "slower");
  CHECK(comparison.rows[2].kernel == "kernels-community/rmsnorm");
  CHECK(comparison.rows[2].device == "NVIDIA H200");
  REQUIRE(comparison.rows[2].ratio);
  CHECK(comparison.rows[2].ratio->value == test::Approx(1.03));
  CHECK(comparison.rows[2].before->median == test::Approx(1000));
  CHECK(comparison.rows[2].after->median == test::Approx(1030));
  CHECK(comparison.rows[2].same_bytes);
  CHECK(comparison.differences.empty());
  CHECK(comparison.count(Change::slower) == 1);
  CHECK(comparison.has_regression());
}

TEST_CASE("compare: what was right and is not is broken, whatever its time was", "[bench]") {
  auto before = run_on(1);
  add_time(before, "broken", 1000);
  add_row(before, "mended").result.verdict = Verdict::crashed;
  add_row(before, "wrong still").result.verdict = Verdict::wrong;
  add_row(before, "probe");
  add_time(before, "no time now", 1000);
  add_time(before, "gone", 1000);
  auto after = run_on(1);
  auto& broken = add_row(after, "broken").result;
  broken.verdict = Verdict::wrong;
  broken.reason = "element 3";
  add_time(after, "mended", 1000);
  add_row(after, "wrong still").result.verdict = Verdict::crashed;
  add_row(after, "probe");
  add_row(after, "no time now");
  add_time(after, "new", 1000);
  const auto comparison = compared(before, after);
  std::vector<std::pair<std::string, Change>> found;
  for (const auto& row : comparison.rows)
    found.emplace_back(row.function, row.change);
  CHECK(found == std::vector<std::pair<std::string, Change>>{{"broken", Change::broken},
                                                             {"mended", Change::mended},
                                                             {"wrong still", Change::not_measured},
                                                             {"probe", Change::not_measured},
                                                             {"no time now", Change::not_measured},
                                                             {"new", Change::added},
                                                             {"gone", Change::removed}});
  CHECK(comparison.has_regression());
  CHECK_FALSE(comparison.rows[0].after);
  CHECK(comparison.rows[0].reason == "wrong: element 3");
  CHECK(comparison.rows[1].reason.empty());
  CHECK_FALSE(comparison.rows[5].before);
  CHECK(comparison.rows[6].before);
  CHECK_FALSE(comparison.rows[6].after);
}

TEST_CASE("compare: unsure, added and removed are no regression", "[bench]") {
  auto before = run_on(1);
  add_time(before, "unsure", 1000).result.timing->series[SeriesKind::cold].samples.resize(3);
  add_time(before, "removed", 1000);
  auto after = run_on(1);
  add_time(after, "unsure", 2000);
  add_time(after, "added", 2000);
  const auto comparison = compared(before, after);
  CHECK(comparison.count(Change::unsure) == 1);
  CHECK(comparison.count(Change::added) == 1);
  CHECK(comparison.count(Change::removed) == 1);
  CHECK_FALSE(comparison.has_regression());
}

TEST_CASE("compare: rows are the same by kernel, function, workload, type and sizes", "[bench]") {
  struct Row {
    const char* name;
    void (*change)(Results&);
  };
  for (const auto& row : {Row{"kernel", [](Results& run) { run.subjects[0].kernel = "else"; }},
                          Row{"function", [](Results& run) { run.rows[0].function = "else"; }},
                          Row{"workload", [](Results& run) { run.rows[0].workload = "else"; }},
                          Row{"type", [](Results& run) { run.rows[0].dtype = DType::bfloat16; }},
                          Row{"sizes", [](Results& run) { run.rows[0].sizes["rows"] = 129; }}}) {
    DYNAMIC_SECTION(row.name) {
      auto before = run_on(1);
      add_time(before, "rms_norm", 1000);
      auto after = before;
      row.change(after);
      const auto comparison = compared(before, after);
      REQUIRE(comparison.rows.size() == 2);
      CHECK(comparison.rows[0].change == Change::added);
      CHECK(comparison.rows[1].change == Change::removed);
    }
  }
}

TEST_CASE("compare: another variant is compared, and is not the same bytes", "[bench]") {
  auto before = run_on(1);
  add_time(before, "rms_norm", 1000);
  auto after = before;
  after.subjects[0].variant = "cuda14";
  after.subjects[0].variant_sha256 = "cd34";
  const auto comparison = compared(before, after);
  REQUIRE(comparison.rows.size() == 1);
  CHECK(comparison.rows[0].change == Change::same);
  CHECK_FALSE(comparison.rows[0].same_bytes);
}

TEST_CASE("compare: bytes that nobody has hashed are not the same", "[bench]") {
  auto before = run_on(1);
  add_time(before, "rms_norm", 1000);
  before.subjects[0].variant_sha256.clear();
  CHECK_FALSE(compared(before, before).rows[0].same_bytes);
}

TEST_CASE("compare: a kernel in two layers is two rows", "[bench]") {
  auto before = run_on(1);
  before.subjects[0].layer = "Attention";
  before.subjects.push_back(before.subjects[0]);
  before.subjects[1].layer = "MLP";
  add_time(before, "rms_norm", 1000);
  add_time(before, "rms_norm", 2000).subject = 1;
  auto after = before;
  std::swap(after.rows[0], after.rows[1]);
  const auto comparison = compared(before, after);
  REQUIRE(comparison.rows.size() == 2);
  CHECK(comparison.rows[0].change == Change::same);
  CHECK(comparison.rows[1].change == Change::same);
}

TEST_CASE("compare: a row that is there twice is refused and named", "[bench]") {
  auto run = run_on(2);
  add_time(run, "rms_norm", 1000);
  add_time(run, "rms_norm", 1000, 1);  // another device: not the same row
  const auto once = run;
  add_time(run, "rms_norm", 1000, 1);
  const auto in_new = compare(once, run, {});
  REQUIRE_FALSE(in_new);
  CHECK(in_new.error().code() == Errc::invalid_argument);
  CHECK(
      in_new.error().text() ==
      "`rms_norm` of `kernels-community/rmsnorm`, llama float32 cols=4096 rows=128 is there twice in the new "
      "run for device 1");
  CHECK_THAT(compare(run, once, {}).error().text(), test::contains("in the old run"));
}

TEST_CASE("compare: devices of one name are told apart by UUID, then index, then order", "[bench]") {
  auto before = run_on(3);
  for (std::uint32_t device = 0; device < 3; ++device)
    add_time(before, "rms_norm", 1000 * (device + 1), device);
  auto after = before;
  SECTION("the UUID goes with the device to another place") {
    std::swap(after.devices[0].uuid, after.devices[2].uuid);
    std::swap(after.rows[0].device, after.rows[2].device);
  }
  SECTION("the index where nothing has a UUID") {
    for (auto* run : {&before, &after})
      for (auto& device : run->devices)
        device.uuid.clear();
    std::swap(after.devices[0].index, after.devices[1].index);
    std::swap(after.rows[0].device, after.rows[1].device);
  }
  SECTION("the order where the machine is another") {
    for (auto& device : after.devices) {
      device.uuid += "-other";
      device.index += 100;
    }
  }
  for (const auto& row : compared(before, after).rows)
    CHECK(row.change == Change::same);
}

TEST_CASE("compare: runs that are not alike are refused, and every difference is named", "[bench]") {
  struct Row {
    const char* name;
    void (*change)(Results&);
    const char* difference;  // empty: they are alike
  };
  const auto clock = [](Results& run) -> std::optional<Range>& {
    return run.rows[0].result.timing->conditions.clock_mhz;
  };
  static auto clock_of = clock;
  for (const auto& row :
       {Row{"nothing", [](Results&) {}, ""},
        Row{"host, job, time, budget",
            [](Results& run) {
              run.host = run.job = run.started = "else";
              run.settings.budget_seconds = 9;
            },
            ""},
        Row{"device", [](Results& run) { run.devices[0].name = "NVIDIA H100"; },
            "device: `NVIDIA H200` before, `NVIDIA H100` now"},
        Row{"kind", [](Results& run) { run.devices[0].kind = "cpu"; },
            "`NVIDIA H200` is only in the new run"},
        Row{"a device more", [](Results& run) { run.devices.push_back(run.devices[0]); },
            "`NVIDIA H200` is only in the new run"},
        Row{"driver", [](Results& run) { run.devices[0].driver = "590.2"; },
            "driver of `NVIDIA H200`: `580.1` before, `590.2` now"},
        Row{"a slice", [](Results& run) { run.devices[0].multiprocessors = 60; },
            "multiprocessors of `NVIDIA H200`: `132` before, `60` now"},
        Row{"multiprocessors untold", [](Results& run) { run.devices[0].multiprocessors = 0; }, ""},
        Row{"ECC", [](Results& run) { run.devices[0].ecc = false; },
            "ECC of `NVIDIA H200`: `on` before, `off`"},
        Row{"ECC untold", [](Results& run) { run.devices[0].ecc.reset(); }, ""},
        Row{"highest clock", [](Results& run) { run.devices[0].max_clock_mhz = 1500; },
            "highest clock of `NVIDIA H200`: 1980 MHz before, 1500 MHz now"},
        Row{"nearly the same clock", [](Results& run) { run.devices[0].max_clock_mhz = 1950; }, ""},
        Row{"clock untold", [](Results& run) { run.devices[0].max_clock_mhz = 0; }, ""},
        Row{"power limit", [](Results& run) { run.devices[0].power_limit_w = 500; },
            "power limit of `NVIDIA H200`: 700 W before, 500 W now"},
        Row{"clock that was seen", [](Results& run) { clock_of(run) = Range{.low = 345, .high = 1500}; },
            "clock of `NVIDIA H200` while measuring: 1980 MHz before, 1500 MHz now"},
        Row{"a lower low", [](Results& run) { clock_of(run) = Range{.low = 345, .high = 1965}; }, ""},
        Row{"no clock was seen", [](Results& run) { clock_of(run).reset(); }, ""},
        Row{"seed", [](Results& run) { run.settings.seed = 8; }, "seed of the inputs: `7` before, `8` now"},
        Row{"precision", [](Results& run) { run.settings.precision = 0.02; },
            "precision: `0.5 %` before, `2 %` now"}}) {
    DYNAMIC_SECTION(row.name) {
      auto before = run_on(1);
      before.devices[0].multiprocessors = 132;
      before.devices[0].ecc = true;
      before.devices[0].power_limit_w = 700;
      add_time(before, "rms_norm", 1000);
      clock(before) = Range{.low = 1900, .high = 1980};
      auto after = before;
      row.change(after);
      const std::string expected = row.difference;
      const auto found = differences(before, after);
      CHECK(found.empty() == expected.empty());
      const auto comparison = compare(before, after, {});
      CHECK(comparison.has_value() == expected.empty());
      if (expected.empty()) continue;
      REQUIRE_FALSE(comparison);
      CHECK(comparison.error().code() == Errc::invalid_argument);
      CHECK_THAT(comparison.error().text(), test::contains("the runs are not alike: "));
      CHECK_THAT(comparison.error().text(), test::contains(expected));
      const auto despite = compared(before, after, {.despite_differences = true});
      CHECK(despite.differences == found);
    }
  }
}

TEST_CASE("compare: despite differences, another device of the kind is compared", "[bench]") {
  auto before = run_on(1);
  add_time(before, "rms_norm", 1000);
  auto after = run_on(1, "NVIDIA B200");
  add_time(after, "rms_norm", 500);
  const auto comparison = compared(before, after, {.despite_differences = true});
  REQUIRE(comparison.rows.size() == 1);
  CHECK(comparison.rows[0].change == Change::faster);
  CHECK(comparison.rows[0].device == "NVIDIA B200");
  CHECK(comparison.differences ==
        std::vector<std::string>{"device: `NVIDIA H200` before, `NVIDIA B200` now"});
}

TEST_CASE("compare: the same difference of eight devices is said once", "[bench]") {
  auto before = run_on(8);
  auto after = before;
  for (auto& device : after.devices)
    device.driver = "590.2";
  CHECK(differences(before, after).size() == 1);
}

TEST_CASE("compare: a threshold is a share below 1", "[bench]") {
  for (double threshold : {-0.01, 1.0, 2.0, std::nan("")}) {
    const auto out = compare(run_on(1), run_on(1), {.threshold = threshold});
    REQUIRE_FALSE(out);
    CHECK(out.error().code() == Errc::invalid_argument);
  }
  CHECK(compared(run_on(1), run_on(1), {.threshold = 0.25}).threshold == 0.25);
}

TEST_CASE("compare: probes are a line only where they broke or mended", "[bench]") {
  for (const auto& [before, after, rows] :
       {std::tuple{Verdict::right, Verdict::right, 0U}, std::tuple{Verdict::right, Verdict::wrong, 1U},
        std::tuple{Verdict::wrong, Verdict::right, 1U}, std::tuple{Verdict::wrong, Verdict::crashed, 0U}}) {
    INFO(name_of(before) << " before, " << name_of(after) << " now");
    Results old = run_on(1);
    old.rows.resize(1);
    old.rows[0].workload = "probes";
    old.rows[0].sizes.clear();
    old.rows[0].result = {};
    Results now = old;
    old.rows[0].result.verdict = before;
    now.rows[0].result.verdict = after;
    CHECK(compared(old, now, {}).rows.size() == rows);
  }
}

TEST_CASE("compare: any run beside itself has not changed", "[bench]") {
  std::mt19937_64 random(test::seed());
  int compared_runs = 0;
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    const auto run = test::random_results(random);
    const auto out = compare(run, run, {.threshold = 0});
    if (!out) {
      REQUIRE_THAT(out.error().text(), test::contains("is there twice in the old run"));
      continue;
    }
    ++compared_runs;
    // Shapes that are only checked have nothing to compare.
    const auto only_checked = std::ranges::count_if(
        run.rows, [](const ResultRow& row) { return row.sizes.empty() && !row.result.timing; });
    REQUIRE(out->rows.size() + static_cast<std::size_t>(only_checked) == run.rows.size());
    REQUIRE(out->differences.empty());
    for (const auto& row : out->rows)
      REQUIRE(
          (row.change == Change::same || row.change == Change::unsure || row.change == Change::not_measured));
  }
  CHECK(compared_runs > 400);
}
