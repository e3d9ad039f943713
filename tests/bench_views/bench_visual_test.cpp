#include <random>
#include <set>

#include "random_results.h"
#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"
#include "support/world.h"
#include "view_bench_visual.h"
#include "xml_check.h"

using namespace kernels;
using app::SpeedPictures;
using app::Theme;
using test::has;

namespace {

test::XmlDocument read(const std::string& svg) {
  return test::read_xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg);
}

bench::ResultRow& add_pair(bench::Results& run, const std::string& function, double ns, double reference_ns) {
  auto& row = test::add_time(run, function, ns);
  row.result.timing->series[bench::SeriesKind::reference].samples.assign(20, reference_ns);
  return row;
}

/// Widths of the boxes of a class, from the top.
std::vector<double> widths_of(const std::string& svg, const std::string& kind) {
  std::vector<double> out;
  for (const auto& tag : read(svg).tags)
    if (auto found = tag.attributes.find("class"); tag.name == "rect" && found != tag.attributes.end() &&
                                                   found->second == kind &&
                                                   tag.attributes.at("height") != "12.00")
      out.push_back(std::stod(tag.attributes.at("width")));
  return out;
}

std::vector<std::string> all_pictures(const SpeedPictures& pictures) {
  std::vector<std::string> out;
  for (auto theme : {Theme::light, Theme::dark})
    for (auto& svg : {pictures.latency(theme), pictures.throughput(theme), pictures.animation(theme),
                      pictures.animation_at(0.5, theme)})
      out.push_back(svg);
  return out;
}

}  // namespace

TEST_CASE("pictures: bars of a pair are as its times are, whichever of the two is faster", "[bench]") {
  auto run = test::run_on(1);
  add_pair(run, "fast", 1000, 4000);
  add_pair(run, "slow", 3'000'000, 1'500'000);
  const SpeedPictures pictures(run);
  const auto latency = pictures.latency(Theme::light);
  const auto kernel = widths_of(latency, "kernel");
  const auto reference = widths_of(latency, "reference");
  REQUIRE(kernel.size() == 2);
  REQUIRE(reference.size() == 2);
  CHECK(reference[0] == test::Approx(4 * kernel[0]).epsilon(1e-3));
  CHECK(kernel[1] == test::Approx(2 * reference[1]).epsilon(1e-3));
  CHECK(kernel[1] == test::Approx(reference[0]));
  CHECK(has(latency, "4.00x as fast"));
  CHECK(has(latency, "0.50x as fast"));

  const auto throughput = pictures.throughput(Theme::light);
  CHECK(widths_of(throughput, "kernel")[0] ==
        test::Approx(4 * widths_of(throughput, "reference")[0]).epsilon(1e-3));
  CHECK(has(throughput, "1.00 M calls/s"));
  CHECK(has(throughput, "250.0 k calls/s"));
  CHECK(has(throughput, "333 calls/s"));
}

TEST_CASE("pictures: in the animation the faster one is done first, and a round ends with a pause",
          "[bench]") {
  auto run = test::run_on(1);
  add_pair(run, "f", 1000, 2000);
  const SpeedPictures pictures(run);
  const auto at = [&](double moment, const char* kind) {
    return widths_of(pictures.animation_at(moment, Theme::dark), kind).at(0);
  };
  const double full = at(0.99, "track");
  CHECK(at(0, "kernel") == 0);
  CHECK(at(0.2, "kernel") == test::Approx(full / 2).epsilon(1e-3));
  CHECK(at(0.2, "reference") == test::Approx(full / 4).epsilon(1e-3));
  CHECK(at(0.5, "kernel") == test::Approx(full));
  CHECK(at(0.5, "reference") < full);
  CHECK(at(0.9, "reference") == test::Approx(full));
  const auto moving = pictures.animation(Theme::dark);
  CHECK(has(moving, "keyTimes=\"0;0.4000;1\""));
  CHECK(has(moving, "keyTimes=\"0;0.8000;1\""));
}

TEST_CASE("pictures: a row without a reference stands beside the limit", "[bench]") {
  auto run = test::run_on(1);
  auto& row = test::add_time(run, "f", 1000);
  row.result.timing->series[bench::SeriesKind::limit].samples.assign(20, 900);
  row.result.timing->bytes = 1000;
  const auto svg = SpeedPictures(run).latency(Theme::light);
  CHECK(has(svg, "90.0 % of the limit"));
  CHECK(widths_of(svg, "limit")[0] == test::Approx(0.9 * widths_of(svg, "kernel")[0]).epsilon(1e-3));
  CHECK(widths_of(svg, "reference").empty());
  CHECK_FALSE(has(svg, ">reference<"));
}

TEST_CASE("pictures: rows without the time of anything else are left out", "[bench]") {
  auto run = test::run_on(1);
  auto& alone = test::add_time(run, "alone", 1000);
  alone.result.timing->series.erase(bench::SeriesKind::limit);
  CHECK(SpeedPictures(run).empty());
  add_pair(run, "paired", 1000, 2000);
  const auto svg = SpeedPictures(run).latency(Theme::light);
  CHECK(has(svg, "paired"));
  CHECK_FALSE(has(svg, "alone"));
  CHECK(SpeedPictures(bench::Results{}).empty());
}

TEST_CASE("pictures: whatever a kernel is called, they are well-formed and ask for nothing", "[bench]") {
  std::mt19937_64 random(test::seed());
  const std::set<std::string> allowed = {"svg", "style", "rect", "text", "animate"};
  for (int round = 0; round < 100; ++round) {
    CAPTURE(round);
    for (const auto& svg : all_pictures(SpeedPictures(test::random_results(random)))) {
      const auto document = read(svg);
      REQUIRE(document.complaint == "");
      for (const auto& tag : document.tags) {
        REQUIRE(allowed.contains(tag.name));
        for (const auto& [name, value] : tag.attributes)
          REQUIRE((name != "href" && name != "style" && !name.starts_with("on")));
      }
    }
  }
}

TEST_CASE("pictures: light and dark differ in nothing but colours", "[bench]") {
  auto run = test::run_on(1);
  add_pair(run, "f", 1000, 2000);
  const SpeedPictures pictures(run);
  const auto without_style = [](const std::string& svg) {
    return svg.substr(0, svg.find("<style>")) + svg.substr(svg.find("</style>"));
  };
  CHECK(pictures.latency(Theme::light) != pictures.latency(Theme::dark));
  CHECK(without_style(pictures.latency(Theme::light)) == without_style(pictures.latency(Theme::dark)));
}
