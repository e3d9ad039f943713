#include <random>
#include <set>

#include "kernels/bench/compare.h"

#include "random_results.h"
#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"
#include "view_bench_html.h"
#include "xml_check.h"

using namespace kernels;

TEST_CASE("page: whatever a kernel is called, the page is well-formed and asks for nothing", "[bench]") {
  std::mt19937_64 random(test::seed());
  const std::set<std::string> allowed = {
      "html", "head", "meta", "title",  "style", "body",  "h1",    "h2",    "p",  "section", "div", "svg",
      "line", "path", "rect", "circle", "text",  "table", "thead", "tbody", "tr", "th",      "td"};
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const auto before = test::random_results(random);
    const auto after = round % 2 == 0 ? before : test::random_results(random);
    const auto comparison = bench::compare(before, after, {.threshold = 0.01, .despite_differences = true});
    const auto page = app::results_html(after, comparison ? &*comparison : nullptr);
    if (comparison) CHECK(page.find("What changed") != std::string::npos);
    REQUIRE(page.starts_with("<!doctype html>\n"));
    const auto document =
        test::read_xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + page.substr(page.find('\n') + 1));
    REQUIRE(document.complaint == "");
    for (const auto& tag : document.tags) {
      REQUIRE(allowed.contains(tag.name));
      for (const auto& [name, value] : tag.attributes)
        REQUIRE((name != "src" && name != "href" && name != "style" && !name.starts_with("on")));
    }
  }
}

TEST_CASE("page: rows of which nobody knows what they must move have no limit and no rate", "[bench]") {
  auto run = test::run_on(1);
  auto& row = test::add_time(run, "Script", 1000);
  row.dtype.reset();
  row.result.timing->series[bench::SeriesKind::reference].samples.assign(20, 2000);
  const auto page = app::results_html(run);
  CHECK(page.find("Roofline") == std::string::npos);
  CHECK(page.find("How close to the limit") == std::string::npos);
  CHECK(page.find("Samples") != std::string::npos);
  CHECK(page.find("2.00x") != std::string::npos);
  row.result.timing->bytes = 1000;
  CHECK(app::results_html(run).find("Roofline") != std::string::npos);
}

TEST_CASE("page: a comparison has a bar and a line for each row that has both times", "[bench]") {
  const bench::Summary before{.samples = 12, .median = 1000, .median_low = 999, .median_high = 1001};
  const bench::Summary after{.samples = 12, .median = 1100, .median_low = 1099, .median_high = 1101};
  bench::ComparedRow slower;
  slower.function = "f<b>";
  slower.workload = "w";
  slower.change = bench::Change::slower;
  slower.before = before;
  slower.after = after;
  slower.ratio = bench::ratio_of(after, before);
  bench::ComparedRow added;
  added.change = bench::Change::added;
  added.after = after;
  const bench::Comparison comparison{.rows = {slower, added}, .differences = {}, .threshold = 0.01};
  const auto page = app::results_html({}, &comparison);
  CHECK(page.find("SLOWER") != std::string::npos);
  CHECK(page.find("+10.00 %") != std::string::npos);
  CHECK(page.find("f&#60;b&#62; float32 w") != std::string::npos);
  CHECK(page.find("ADDED") != std::string::npos);
}

TEST_CASE("page: the same results are the same page, and none at all are one too", "[bench]") {
  std::mt19937_64 random(test::seed());
  const auto results = test::random_results(random);
  CHECK(app::results_html(results) == app::results_html(results));
  CHECK(app::results_html({}).find("</html>") != std::string::npos);
}
