#include "sampling.h"

#include <algorithm>

#include "support/catch.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

Series repeated(std::size_t count, double low, double high) {
  Series series;
  for (std::size_t i = 0; i < count; ++i)
    series.samples.push_back(i % 2 == 0 ? low : high);
  return series;
}

}  // namespace

TEST_CASE("stopping: precise, out of time, or enough, whichever comes first", "[bench]") {
  const StoppingRule rule{.precision = 0.01, .budget_seconds = 1, .least = 12, .most = 100};
  struct Row {
    const char* name;
    Series cold;
    double spent;
    std::optional<Stopped> stopped;
  };
  const std::vector<Row> rows = {{"nothing yet", {}, 0, std::nullopt},
                                 {"too few to tell", repeated(11, 100, 100), 0.5, std::nullopt},
                                 {"precise", repeated(12, 100, 100.5), 0.5, Stopped::precision},
                                 {"not precise", repeated(50, 100, 110), 0.5, std::nullopt},
                                 {"out of time", repeated(50, 100, 110), 1.0, Stopped::budget},
                                 {"few and out of time", repeated(3, 100, 110), 1.0, Stopped::budget},
                                 {"too few and out of time", repeated(2, 100, 110), 1.0, std::nullopt},
                                 {"too few for too long", repeated(2, 100, 110), 3.0, Stopped::budget},
                                 {"none for too long", {}, 3.0, Stopped::budget},
                                 {"enough", repeated(100, 100, 200), 0.1, Stopped::samples},
                                 {"all zero", repeated(50, 0, 0), 0.5, std::nullopt}};
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(decide(rule, row.cold, row.spent) == row.stopped);
  }
}

TEST_CASE("sampling: disturbed samples are counted by reason and kept out", "[bench]") {
  Timing timing;
  take(timing, {.samples = {{SeriesKind::cold, {1, 2}}, {SeriesKind::limit, {3, 4}}},
                .conditions = {.clock_mhz = Range{1000, 1980}, .slowed_by = {"power limit"}},
                .disturbed = ""});
  take(timing, {.samples = {{SeriesKind::cold, {50, 60, 70}}},
                .conditions = {.clock_mhz = Range{900, 950}, .slowed_by = {"temperature", "power limit"}},
                .disturbed = "clock moved"});
  CHECK(timing.series[SeriesKind::cold].samples == std::vector<double>{1, 2});
  CHECK(timing.series[SeriesKind::limit].samples == std::vector<double>{3, 4});
  CHECK(timing.conditions.dropped == std::map<std::string, std::uint64_t>{{"clock moved", 3}});
  CHECK(timing.conditions.clock_mhz == Range{900, 1980});
  CHECK(timing.conditions.slowed_by == std::vector<std::string>{"power limit", "temperature"});
}

TEST_CASE("sampling: no batch asks for more than what is left to the most", "[bench]") {
  const StoppingRule rule{.most = 20};
  CHECK(next_batch(rule, {}, 8) == 8);
  CHECK(next_batch(rule, repeated(12, 1, 1), 8) == 8);
  CHECK(next_batch(rule, repeated(15, 1, 1), 8) == 5);
  CHECK(next_batch(rule, repeated(20, 1, 1), 8) == 1);
  CHECK(next_batch({.most = 5}, {}, 8) == 5);
  CHECK(next_batch(rule, {}, 1) == 1);
}

TEST_CASE("sampling: where nothing is quiet, disturbed samples count, up to the most, and say so",
          "[bench]") {
  const StoppingRule rule{.most = 5};
  auto disturbed = [](std::size_t quiet) {
    Timing timing;
    timing.series[SeriesKind::cold] = repeated(quiet, 100, 100);
    timing.series[SeriesKind::limit] = repeated(quiet, 50, 50);
    timing.conditions.dropped = {{"clock moved", 1}, {"preempted", 653}};
    return timing;
  };
  const std::map<SeriesKind, Series> others = {{SeriesKind::cold, repeated(654, 200, 200)},
                                               {SeriesKind::limit, repeated(654, 90, 90)}};
  for (std::size_t quiet : {0, 2}) {
    auto timing = disturbed(quiet);
    settle(timing, others, rule);
    CHECK(timing.series[SeriesKind::cold].samples.size() == rule.most);
    CHECK(timing.series[SeriesKind::limit].samples.size() == rule.most);
    CHECK(std::ranges::count(timing.series[SeriesKind::cold].samples, 100) == std::ptrdiff_t(quiet));
    CHECK(timing.conditions.dropped.empty());
    CHECK(timing.conditions.slowed_by ==
          std::vector<std::string>{"something in nearly every sample: preempted"});
  }
  auto enough = disturbed(3);
  settle(enough, others, rule);
  CHECK(enough.series[SeriesKind::cold].samples.size() == 3);
  CHECK(enough.conditions.dropped.at("preempted") == 653);
  CHECK(enough.conditions.slowed_by.empty());
}

TEST_CASE("sampling: what happened between two moments is named", "[bench]") {
  const Moment calm{.clock_mhz = 1980, .memory_mhz = 2619, .slowed_by = {"power limit"}};
  struct Row {
    const char* reason;
    Moment after;
  };
  auto changed = [&](auto change) {
    Moment after = calm;
    change(after);
    return after;
  };
  const std::vector<Row> rows = {
      {"", calm},
      {"", changed([](Moment& m) { m.clock_mhz = 1965; })},
      {"", changed([](Moment& m) { m.clock_mhz = std::nullopt; })},
      {"clock moved", changed([](Moment& m) { m.clock_mhz = 1900; })},
      {"memory clock moved", changed([](Moment& m) { m.memory_mhz = 1593; })},
      {"clocks limited", changed([](Moment& m) { m.slowed_by = {}; })},
      {"clocks limited", changed([](Moment& m) { m.slowed_by.emplace_back("temperature"); })},
      {"memory error", changed([](Moment& m) { m.memory_errors = 1; })},
      {"other process", changed([](Moment& m) { m.other_processes = 1; })},
      {"preempted", changed([](Moment& m) { m.preempted = 1; })}};
  for (const auto& row : rows) {
    INFO(row.reason);
    CHECK(disturbance(calm, row.after) == row.reason);
  }
}
