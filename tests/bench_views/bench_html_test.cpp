#include <random>
#include <set>

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
    const auto page = app::results_html(test::random_results(random));
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

TEST_CASE("page: the same results are the same page, and none at all are one too", "[bench]") {
  std::mt19937_64 random(test::seed());
  const auto results = test::random_results(random);
  CHECK(app::results_html(results) == app::results_html(results));
  CHECK(app::results_html({}).find("</html>") != std::string::npos);
}
