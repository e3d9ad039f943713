#include "view_bench_ci.h"

#include <algorithm>
#include <map>
#include <vector>

#include "markup.h"
#include "measures.h"
#include "text.h"
#include "view_bench_compare.h"

namespace kernels::app {

using bench::Change;
using bench::ComparedRow;
using bench::ResultRow;
using bench::SeriesKind;

namespace {

// Markdown

using Cells = std::vector<std::string>;

std::string markdown_line(const Cells& cells) {
  std::string out = "|";
  for (const auto& cell : cells)
    out += " " + cell + " |";
  return out + "\n";
}

/// The head of a table; the first `texts` columns hold text, the others numbers.
std::string markdown_head(const Cells& titles, std::size_t texts) {
  Cells rule;
  for (std::size_t i = 0; i < titles.size(); ++i)
    rule.emplace_back(i < texts ? "---" : "---:");
  return markdown_line(titles) + markdown_line(rule);
}

std::string type_of(const std::optional<bench::DType>& type) {
  return std::string(runtime::name_of(type));
}

std::string workload_cell(const std::string& workload, const bench::Sizes& sizes) {
  return markdown_code(sizes.empty() ? workload : workload + " " + bench::describe(sizes));
}

Cells result_cells(const bench::Results& results, const ResultRow& row) {
  Cells cells = {markdown_code(results.subjects[row.subject].kernel), markdown_code(row.function),
                 workload_cell(row.workload, row.sizes), type_of(row.dtype),
                 std::string(bench::name_of(row.result.verdict))};
  const auto& timing = row.result.timing;
  const auto* cold = timing ? timing->find(SeriesKind::cold) : nullptr;
  if (cold == nullptr) {
    cells.insert(cells.end(), {"", "", "", ""});
    return cells;
  }
  const auto summary = cold->summary();
  const auto share = row.result.share_of_limit();
  cells.push_back(time_text(summary.median));
  cells.push_back(interval_text(summary));
  cells.push_back(timing->bytes > 0 || timing->flops > 0 ? rate_text(*timing) : "");
  cells.push_back(share ? share_text(share->value) : "");
  return cells;
}

std::string device_markdown(const bench::Results& results, std::size_t device,
                            const std::vector<const ResultRow*>& rows) {
  const auto& record = results.devices[device];
  std::string out = "\n### " + markdown_code(record.name) + " " + std::to_string(record.index);
  if (!record.driver.empty()) out += ", driver " + markdown_code(record.driver);
  out += "\n\n" + markdown_head({"kernel", "function", "workload", "type", "result", "median",
                                 "95 % interval", "rate", "of limit"},
                                5);
  for (const auto* row : rows)
    out += markdown_line(result_cells(results, *row));
  return out;
}

// JUnit

enum class Outcome { passed, failed, skipped };

/// One row as JUnit sees it; all texts as they are, not yet escaped.
struct TestCase {
  std::string classname;
  std::string name;
  double nanoseconds = 0;
  Outcome outcome = Outcome::passed;
  std::string type;
  std::string message;
};

struct TestSuite {
  std::string name;
  std::string host;
  std::string started;
  std::vector<TestCase> cases;
};

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + xml_text(value) + "\"";
}

std::string counts_of(const std::vector<TestCase>& cases) {
  auto count = [&](Outcome outcome) {
    return std::to_string(std::ranges::count(cases, outcome, &TestCase::outcome));
  };
  return attribute("tests", std::to_string(cases.size())) + attribute("failures", count(Outcome::failed)) +
         attribute("errors", "0") + attribute("skipped", count(Outcome::skipped));
}

std::string case_xml(const TestCase& one) {
  std::string out = "    <testcase" + attribute("classname", one.classname) + attribute("name", one.name);
  if (one.nanoseconds > 0) out += attribute("time", decimal(one.nanoseconds / 1e9, 9));
  if (one.outcome == Outcome::passed) return out + "/>\n";
  if (one.outcome == Outcome::skipped)
    return out + ">\n      <skipped" + attribute("message", one.message) + "/>\n    </testcase>\n";
  return out + ">\n      <failure" + attribute("type", one.type) + attribute("message", one.message) + ">" +
         xml_text(one.message) + "</failure>\n    </testcase>\n";
}

std::string junit_xml(const std::vector<TestSuite>& suites) {
  std::vector<TestCase> all;
  std::string body;
  for (const auto& suite : suites) {
    body += "  <testsuite" + attribute("name", suite.name) + counts_of(suite.cases);
    if (!suite.host.empty()) body += attribute("hostname", suite.host);
    if (!suite.started.empty()) body += attribute("timestamp", suite.started);
    body += ">\n";
    for (const auto& one : suite.cases)
      body += case_xml(one);
    body += "  </testsuite>\n";
    all.insert(all.end(), suite.cases.begin(), suite.cases.end());
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" + attribute("name", "kernels bench") +
         counts_of(all) + ">\n" + body + "</testsuites>\n";
}

std::string case_name(const std::string& function, const std::optional<bench::DType>& type,
                      const std::string& workload, const bench::Sizes& sizes) {
  return function + (type ? " " + type_of(type) : "") + " " + workload +
         (sizes.empty() ? "" : " " + bench::describe(sizes));
}

TestCase case_of(const bench::Results& results, const ResultRow& row) {
  const auto& subject = results.subjects[row.subject];
  TestCase out;
  out.classname = subject.kernel + " " + subject.variant;
  out.name = case_name(row.function, row.dtype, row.workload, row.sizes);
  if (row.result.timing)
    if (const auto* cold = row.result.timing->find(SeriesKind::cold))
      out.nanoseconds = cold->summary().median;
  if (row.result.verdict == bench::Verdict::right) return out;
  out.outcome = row.result.verdict == bench::Verdict::unchecked ? Outcome::skipped : Outcome::failed;
  out.type = bench::name_of(row.result.verdict);
  out.message = row.result.reason.empty() ? out.type : row.result.reason;
  return out;
}

/// `1.030 us, 1.000 us before: +3.00 % (+2.81 to +3.17)`.
std::string times_text(const ComparedRow& row) {
  std::string out = row.after ? time_text(row.after->median) : "no time now";
  out += row.before ? ", " + time_text(row.before->median) + " before" : "";
  return row.ratio ? out + ": " + change_text(*row.ratio) : out;
}

TestCase case_of(const ComparedRow& row) {
  TestCase out;
  out.classname = row.kernel;
  out.name = case_name(row.function, row.dtype, row.workload, row.sizes);
  if (row.after) out.nanoseconds = row.after->median;
  out.type = bench::name_of(row.change);
  if (row.change == Change::slower || row.change == Change::broken) {
    out.outcome = Outcome::failed;
    out.message = row.reason.empty() ? times_text(row) : row.reason;
  } else if (row.change == Change::not_measured || row.change == Change::removed) {
    out.outcome = Outcome::skipped;
    out.message = row.change == Change::removed ? "only in the old run" : "not timed in both runs";
  }
  return out;
}

Cells compared_cells(const ComparedRow& row) {
  auto time = [](const std::optional<bench::Summary>& summary) {
    return summary ? time_text(summary->median) : std::string();
  };
  return {markdown_code(row.kernel),
          markdown_code(row.function),
          workload_cell(row.workload, row.sizes),
          type_of(row.dtype),
          markdown_code(row.device),
          std::string(bench::name_of(row.change)),
          time(row.before),
          time(row.after),
          row.ratio ? change_text(*row.ratio) : ""};
}

}  // namespace

std::string results_markdown(const bench::Results& results) {
  const auto is_right = [](const ResultRow& row) { return row.result.verdict == bench::Verdict::right; };
  const auto right = std::ranges::count_if(results.rows, is_right);
  std::string out = "## Kernels: " + std::to_string(right) + " of " + counted(results.rows.size(), "row") +
                    " right\n\nMeasured with " + markdown_code(results.program) + " on " +
                    markdown_code(results.host) + " at " + markdown_code(results.started);
  out += (results.job.empty() ? "" : ", " + markdown_code(results.job)) + ".\n";
  std::map<std::uint32_t, std::vector<const ResultRow*>> by_device;
  for (const auto& row : results.rows)
    by_device[row.device].push_back(&row);
  for (const auto& [device, rows] : by_device)
    out += device_markdown(results, device, rows);
  const char* gap = "\n";
  for (const auto& row : results.rows) {
    if (is_right(row)) continue;
    const auto& reason = row.result.reason;
    out += gap + ("- " + markdown_code(row.function) + " " + type_of(row.dtype) + " ") +
           workload_cell(row.workload, row.sizes) + ": **" + std::string(bench::name_of(row.result.verdict)) +
           "**" + (reason.empty() ? "" : ": " + markdown_code(reason)) + "\n";
    gap = "";
  }
  return out;
}

std::string comparison_markdown(const bench::Comparison& comparison) {
  std::string out = "## Kernels: " + counts_text(comparison) + "\n\nUp to " +
                    share_text(comparison.threshold) +
                    " is the same; in brackets the interval that holds the change with 95 % confidence.\n";
  if (!comparison.rows.empty())
    out += "\n" +
           markdown_head(
               {"kernel", "function", "workload", "type", "device", "verdict", "before", "now", "time"}, 6);
  for (const auto& row : comparison.rows)
    out += markdown_line(compared_cells(row));
  const char* gap = "\n";
  for (const auto& row : comparison.rows)
    if (!row.reason.empty()) {
      out += gap + ("- " + markdown_code(row.function) + " " + type_of(row.dtype) + " ") +
             workload_cell(row.workload, row.sizes) + ": " + markdown_code(row.reason) + "\n";
      gap = "";
    }
  gap = "\n";
  for (const auto& difference : comparison.differences) {
    out += gap + ("- compared although not alike: " + markdown_code(difference)) + "\n";
    gap = "";
  }
  return out;
}

std::string results_junit(const bench::Results& results) {
  std::vector<TestSuite> suites;
  for (const auto& device : results.devices)
    suites.push_back({.name = device.name + " " + std::to_string(device.index),
                      .host = results.host,
                      .started = results.started,
                      .cases = {}});
  for (const auto& row : results.rows)
    suites[row.device].cases.push_back(case_of(results, row));
  std::erase_if(suites, [](const TestSuite& suite) { return suite.cases.empty(); });
  return junit_xml(suites);
}

std::string comparison_junit(const bench::Comparison& comparison) {
  std::vector<TestSuite> suites;
  std::map<std::string, std::size_t> places;
  for (const auto& row : comparison.rows) {
    const auto [place, is_new] = places.try_emplace(row.device, suites.size());
    if (is_new) suites.push_back({.name = row.device, .host = "", .started = "", .cases = {}});
    suites[place->second].cases.push_back(case_of(row));
  }
  return junit_xml(suites);
}

}  // namespace kernels::app
