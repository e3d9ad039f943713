#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "kernels/base/utf8.h"

#include "random_results.h"
#include "runs.h"
#include "support/catch.h"
#include "support/seed.h"
#include "view_bench_ci.h"
#include "xml_check.h"

using namespace kernels;
using namespace kernels::bench;
using test::add_row;
using test::add_time;
using test::run_on;
using test::XmlTag;

namespace {

/// Two devices: one right row with a limit, one that crashed with a hostile reason, one on the second device.
Results three_rows() {
  auto run = run_on(2);
  run.job = "slurm 4711_3";
  auto& timing = *add_time(run, "rms_norm", 1000).result.timing;
  timing.bytes = 3'600'000;
  timing.series[SeriesKind::limit].samples.assign(20, 970);
  auto& crashed = add_row(run, "silu").result;
  crashed.verdict = Verdict::crashed;
  crashed.reason = "signal 11 | <b>\"]]>\n\x1b[31m`@all`";
  add_time(run, "rms_norm", 2000, 1);
  return run;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    out.push_back(line);
  return out;
}

std::vector<XmlTag> tags_of(const std::string& xml, const char* name) {
  const auto document = test::read_xml(xml);
  INFO(xml);
  REQUIRE(document.complaint.empty());
  std::vector<XmlTag> out;
  std::ranges::copy_if(document.tags, std::back_inserter(out),
                       [&](const auto& tag) { return tag.name == name; });
  return out;
}

/// Every line of a table has as many cells as its head; nothing else has a bar.
void check_tables(const std::string& markdown) {
  std::ptrdiff_t bars = 0;
  for (const auto& line : lines_of(markdown)) {
    const auto here = std::ranges::count(line, '|');
    if (!line.starts_with('|')) {
      REQUIRE(here == 0);
      bars = 0;
      continue;
    }
    if (bars == 0) bars = here;
    CAPTURE(line);
    REQUIRE(here == bars);
    REQUIRE(line.ends_with('|'));
  }
}

Comparison compared(const Results& before, const Results& after) {
  return *compare(before, after, {.despite_differences = true});
}

}  // namespace

TEST_CASE("ci: the Markdown of a run has a table for each device and names what is wrong", "[app]") {
  const auto markdown = app::results_markdown(three_rows());
  CHECK(markdown ==
        "## Kernels: 2 of 3 rows right\n"
        "\n"
        "Measured with `kernels 0.1.0` on `rack1-07` at `2026-11-22T17:12:54Z`, `slurm 4711_3`.\n"
        "\n"
        "### `NVIDIA H200` 0, driver `580.1`\n"
        "\n"
        "| kernel | function | workload | type | result | median | 95 % interval | rate | of limit |\n"
        "| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: |\n"
        "| `kernels-community/rmsnorm` | `rms_norm` | `llama cols=4096 rows=128` | float32 | right | 1.000 "
        "us | "
        "-0.02 to +0.02 % | 3600 GB/s | 97.0 % |\n"
        "| `kernels-community/rmsnorm` | `silu` | `llama cols=4096 rows=128` | float32 | crashed |  |  |  |  "
        "|\n"
        "\n"
        "### `NVIDIA H200` 1, driver `580.1`\n"
        "\n"
        "| kernel | function | workload | type | result | median | 95 % interval | rate | of limit |\n"
        "| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: |\n"
        "| `kernels-community/rmsnorm` | `rms_norm` | `llama cols=4096 rows=128` | float32 | right | 2.000 "
        "us | "
        "-0.02 to +0.02 % |  |  |\n"
        "\n"
        "- `silu` float32 `llama cols=4096 rows=128`: **crashed**: <code>signal 11 &#124; "
        "&#60;b&#62;&#34;&#93;&#93;&#62; \uFFFD&#91;31m&#96;&#64;all&#96;</code>\n");
}

TEST_CASE("ci: the JUnit of a run has a suite for each device and fails what is not right", "[app]") {
  const auto xml = app::results_junit(three_rows());
  const auto all = tags_of(xml, "testsuites");
  REQUIRE(all.size() == 1);
  CHECK(all[0].attributes.at("tests") == "3");
  CHECK(all[0].attributes.at("failures") == "1");
  const auto suites = tags_of(xml, "testsuite");
  REQUIRE(suites.size() == 2);
  CHECK(suites[0].attributes.at("name") == "NVIDIA H200 0");
  CHECK(suites[0].attributes.at("tests") == "2");
  CHECK(suites[0].attributes.at("failures") == "1");
  CHECK(suites[0].attributes.at("hostname") == "rack1-07");
  CHECK(suites[1].attributes.at("failures") == "0");
  const auto cases = tags_of(xml, "testcase");
  REQUIRE(cases.size() == 3);
  CHECK(cases[0].attributes.at("classname") == "kernels-community/rmsnorm cuda13");
  CHECK(cases[0].attributes.at("name") == "rms_norm float32 llama cols=4096 rows=128");
  CHECK(cases[0].attributes.at("time") == "0.000001000");
  CHECK_FALSE(cases[1].attributes.contains("time"));
  const auto failures = tags_of(xml, "failure");
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].attributes.at("type") == "crashed");
  CHECK(failures[0].attributes.at("message") == "signal 11 | <b>\"]]>\n\uFFFD[31m`@all`");
  CHECK(failures[0].text == failures[0].attributes.at("message"));
}

TEST_CASE("ci: what nothing could be compared with is no failure, and not passed in silence either",
          "[app]") {
  auto run = run_on(1);
  auto& row = add_time(run, "Script", 1000);
  row.dtype.reset();
  row.result.verdict = Verdict::unchecked;
  row.result.reason = "the script has no verify_small";
  const auto xml = app::results_junit(run);
  CHECK(tags_of(xml, "testsuites")[0].attributes.at("failures") == "0");
  const auto skipped = tags_of(xml, "skipped");
  REQUIRE(skipped.size() == 1);
  CHECK(skipped[0].attributes.at("message") == "the script has no verify_small");
  CHECK(tags_of(xml, "testcase")[0].attributes.at("name") == "Script llama cols=4096 rows=128");
  CHECK(app::results_markdown(run).find("**not checked**: `the script has no verify_small`") !=
        std::string::npos);
}

TEST_CASE("ci: a comparison fails where it is slower or broken, and nowhere else", "[app]") {
  auto before = run_on(1);
  add_time(before, "slower", 1000);
  add_time(before, "faster", 1000);
  add_time(before, "same", 1000);
  add_time(before, "unsure", 1000).result.timing->series[SeriesKind::cold].samples.resize(2);
  add_row(before, "broken");
  add_row(before, "probe");
  add_time(before, "removed", 1000);
  auto after = run_on(1);
  add_time(after, "slower", 1030);
  add_time(after, "faster", 900);
  add_time(after, "same", 1000);
  add_time(after, "unsure", 1000);
  add_row(after, "broken").result.verdict = Verdict::timed_out;
  add_row(after, "probe");
  add_time(after, "added", 1000);
  const auto comparison = compared(before, after);
  const auto xml = app::comparison_junit(comparison);
  const auto suites = tags_of(xml, "testsuite");
  REQUIRE(suites.size() == 1);
  CHECK(suites[0].attributes.at("name") == "NVIDIA H200");
  CHECK(suites[0].attributes.at("tests") == "8");
  CHECK(suites[0].attributes.at("failures") == "2");
  CHECK(suites[0].attributes.at("skipped") == "2");
  const auto failures = tags_of(xml, "failure");
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].attributes.at("type") == "SLOWER");
  CHECK(failures[0].text == "1.030 us, 1.000 us before: +3.00 % (+2.96 to +3.04)");
  CHECK(failures[1].attributes.at("type") == "BROKEN");
  CHECK(failures[1].text == "timed out");
  const auto skipped = tags_of(xml, "skipped");
  REQUIRE(skipped.size() == 2);
  CHECK(skipped[0].attributes.at("message") == "not timed in both runs");
  CHECK(skipped[1].attributes.at("message") == "only in the old run");
  const auto markdown = app::comparison_markdown(comparison);
  check_tables(markdown);
  CHECK_THAT(markdown, test::contains("## Kernels: 1 BROKEN, 1 SLOWER, 1 UNSURE, 1 SAME, 1 FASTER, 1 ADDED, "
                                      "1 NOT MEASURED, 1 REMOVED\n"));
  CHECK_THAT(
      markdown,
      test::contains("| `kernels-community/rmsnorm` | `slower` | `llama cols=4096 rows=128` | float32 | "
                     "`NVIDIA H200` | SLOWER | 1.000 us | 1.030 us | +3.00 % (+2.96 to +3.04) |\n"));
  CHECK_THAT(markdown, test::contains("\n- `broken` float32 `llama cols=4096 rows=128`: `timed out`\n"));
}

TEST_CASE("ci: differences that were allowed are in the Markdown of a comparison", "[app]") {
  auto after = run_on(1);
  after.devices[0].driver = "590.2";
  CHECK_THAT(app::comparison_markdown(compared(run_on(1), after)),
             test::contains("\n- compared although not alike: <code>driver of &#96;NVIDIA H200&#96;&#58; "));
}

TEST_CASE("ci: hostile texts stay texts in every format", "[app]") {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    auto before = test::random_results(random);
    for (auto& row : before.rows)
      row.result.reason += "\xff";
    const auto after = test::random_results(random);
    const auto tables = app::results_markdown(before);
    check_tables(tables);
    REQUIRE(is_utf8(tables));
    const auto cases = tags_of(app::results_junit(before), "testcase");
    REQUIRE(cases.size() == before.rows.size());
    const auto comparison = compare(before, after, {.despite_differences = true});
    if (!comparison) continue;
    check_tables(app::comparison_markdown(*comparison));
    REQUIRE(tags_of(app::comparison_junit(*comparison), "testcase").size() == comparison->rows.size());
  }
}
