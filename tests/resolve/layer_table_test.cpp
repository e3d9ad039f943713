#include "kernels/resolve/layer_table.h"

#include <algorithm>
#include <random>
#include <string>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::resolve;
using kernels::test::seed;

namespace {

std::string joined(std::span<const Mode> modes) {
  std::string out;
  for (Mode mode : modes)
    out += (out.empty() ? "" : ", ") + mode.str();
  return out;
}

/// The rule as it is told: look at every range.
const int* narrowest_by_force(const std::vector<std::pair<CapabilityRange, int>>& entries,
                              std::uint32_t capability) {
  const std::pair<CapabilityRange, int>* best = nullptr;
  for (const auto& entry : entries) {
    if (capability < entry.first.min || capability > entry.first.max) continue;
    auto width = entry.first.max - entry.first.min;
    if (best == nullptr || width < best->first.max - best->first.min ||
        (width == best->first.max - best->first.min && entry.first.min > best->first.min))
      best = &entry;
  }
  return best == nullptr ? nullptr : &best->second;
}

}  // namespace

TEST_CASE("layer modes: each requested mode has its own lookup order", "[resolve]") {
  struct Row {
    const char* requested;
    const char* order;
  };
  auto row = GENERATE(values<Row>(
      {{"inference", "inference, inference|torch-compile, training, training|torch-compile, fallback"},
       {"inference|torch-compile", "inference|torch-compile, training|torch-compile, fallback"},
       {"training", "training, training|torch-compile, fallback"},
       {"training|torch-compile", "training|torch-compile, fallback"}}));
  DYNAMIC_SECTION(row.requested) {
    auto order = lookup_order(*Mode::parse(row.requested));
    REQUIRE(order);
    CHECK(joined(*order) == row.order);
  }
}

TEST_CASE("layer modes: fallback and a lone torch-compile cannot be requested", "[resolve]") {
  for (Mode mode : {Mode::fallback, Mode::torch_compile}) {
    auto order = lookup_order(mode);
    REQUIRE_FALSE(order);
    CHECK(order.error().code() == Errc::invalid_argument);
    CHECK(order.error().text().find("`" + mode.str() + "`") != std::string::npos);
  }
}

TEST_CASE("layer modes: the first registered mode of the order is taken, for every set of registered ones",
          "[resolve]") {
  const std::vector<std::string> names = {"inference", "inference|torch-compile", "training",
                                          "training|torch-compile", "fallback"};
  for (std::size_t requested = 0; requested < 4; ++requested)
    for (unsigned set = 0; set < 32; ++set) {
      std::map<Mode, std::string> registered;
      for (std::size_t i = 0; i < names.size(); ++i)
        if ((set & (1U << i)) != 0) registered[*Mode::parse(names[i])] = names[i];
      auto order = lookup_order(*Mode::parse(names[requested]));
      REQUIRE(order);
      auto chosen = select_by_mode(registered, *order);
      std::string expected;
      for (Mode mode : *order)
        if (expected.empty() && registered.contains(mode)) expected = mode.str();
      CAPTURE(names[requested], set);
      REQUIRE(chosen.has_value() == !expected.empty());
      if (!chosen) continue;
      CHECK(chosen->first.str() == expected);
      CHECK(*chosen->second == expected);
    }
}

TEST_CASE("capability ranges: the narrowest that contains wins, equal bounds replace", "[resolve]") {
  IntervalMap<std::string> map;
  CHECK(map.empty());
  CHECK(map.narrowest(90) == nullptr);
  map.insert({.min = 75, .max = 89}, "ampere");
  map.insert({.min = 0, .max = 9999}, "any");
  map.insert({.min = 80, .max = 86}, "narrow");
  map.insert({.min = 75, .max = 89}, "ampere again");
  struct Row {
    std::uint32_t capability;
    const char* value;
  };
  for (auto row :
       {Row{0, "any"}, Row{74, "any"}, Row{75, "ampere again"}, Row{80, "narrow"}, Row{86, "narrow"},
        Row{87, "ampere again"}, Row{89, "ampere again"}, Row{90, "any"}, Row{9999, "any"}}) {
    CAPTURE(row.capability);
    REQUIRE(map.narrowest(row.capability) != nullptr);
    CHECK(*map.narrowest(row.capability) == row.value);
  }
  CHECK(map.narrowest(10000) == nullptr);
  CHECK(map.entries().size() == 3);
}

TEST_CASE("capability ranges: of equal width the higher minimum wins, in every order of insertion",
          "[resolve]") {
  std::vector<CapabilityRange> ranges = {
      {.min = 80, .max = 90}, {.min = 85, .max = 95}, {.min = 75, .max = 85}};
  std::ranges::sort(ranges);
  do {
    IntervalMap<std::uint32_t> map;
    for (auto range : ranges)
      map.insert(range, range.min);
    CHECK(*map.narrowest(85) == 85);
    CHECK(*map.narrowest(84) == 80);
    CHECK(*map.narrowest(79) == 75);
  } while (std::ranges::next_permutation(ranges).found);
}

TEST_CASE("capability ranges: a range that is upside down contains nothing and hides nothing", "[resolve]") {
  IntervalMap<int> map;
  map.insert({.min = 90, .max = 80}, 1);
  map.insert({.min = 4294967295, .max = 0}, 2);
  CHECK(map.narrowest(85) == nullptr);
  map.insert({.min = 80, .max = 90}, 3);
  REQUIRE(map.narrowest(85) != nullptr);
  CHECK(*map.narrowest(85) == 3);
}

TEST_CASE("capability ranges: random ones answer as looking at every range does", "[resolve]") {
  std::mt19937_64 rng(seed());
  auto draw = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(rng() % limit); };
  std::size_t answered = 0;
  for (int round = 0; round < 2000; ++round) {
    IntervalMap<int> map;
    std::vector<std::pair<CapabilityRange, int>> all;
    // Few distinct bounds, so that equal bounds and equal widths are common.
    auto bounds = 2 + draw(30);
    for (int i = 0, count = static_cast<int>(draw(25)); i < count; ++i) {
      CapabilityRange range{.min = draw(bounds), .max = draw(bounds)};
      if (range.min > range.max) std::swap(range.min, range.max);
      map.insert(range, i);
      auto old = std::ranges::find(all, range, &std::pair<CapabilityRange, int>::first);
      if (old == all.end())
        all.emplace_back(range, i);
      else
        old->second = i;
    }
    REQUIRE(map.entries().size() == all.size());
    for (std::uint32_t capability = 0; capability <= bounds; ++capability) {
      const int* expected = narrowest_by_force(all, capability);
      const int* found = map.narrowest(capability);
      CAPTURE(round, capability);
      REQUIRE((found == nullptr) == (expected == nullptr));
      if (found != nullptr) REQUIRE(*found == *expected);
      if (found != nullptr) ++answered;
    }
  }
  CHECK(answered > 10000);
}
