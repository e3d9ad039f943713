#include "view_bench.h"

#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "text.h"
#include "version.h"

namespace kernels::app {

using Json = nlohmann::ordered_json;

static std::string fixed(double value, int digits) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
}

static std::string human_time(double ns) {
  if (ns < 1e3) return fixed(ns, 0) + " ns";
  if (ns < 1e6) return fixed(ns / 1e3, 2) + " us";
  if (ns < 1e9) return fixed(ns / 1e6, 2) + " ms";
  return fixed(ns / 1e9, 2) + " s";
}

static std::vector<std::string> row_text(const bench::BenchRow& row) {
  std::string verdict(bench::name_of(row.result.verdict));
  std::vector<std::string> cells = {row.function, std::string(runtime::name_of(row.dtype)), row.workload};
  if (const auto& timing = row.result.timing) {
    cells.push_back(human_time(timing->kernel.median));
    cells.push_back(fixed(timing->gb_per_s, 1));
    cells.push_back(fixed(timing->share_of_limit * 100, 0) + " %");
    cells.push_back(timing->method.substr(0, timing->method.find(':')));
    if (timing->unsteady) verdict += ", unsteady";
  } else {
    cells.insert(cells.end(), {"-", "-", "-", "-"});
  }
  cells.push_back(verdict);
  return cells;
}

static std::string kernel_text(const BenchedKernel& kernel) {
  std::string out = kernel.target.kernel + "  " + kernel.target.variant + "\n";
  const bench::BenchRow* timed = nullptr;
  for (const auto& row : kernel.report.rows)
    if (row.result.timing && timed == nullptr) timed = &row;
  if (!kernel.report.rows.empty()) out += "  on " + kernel.report.rows.front().result.device + "\n";
  if (timed != nullptr) out += "  limit: " + timed->result.timing->limit_method + "\n";
  std::vector<std::vector<std::string>> rows = {
      {"FUNCTION", "TYPE", "WORKLOAD", "MEDIAN", "GB/S", "LIMIT", "CACHE", "RESULT"}};
  for (const auto& row : kernel.report.rows)
    rows.push_back(row_text(row));
  out += "\n" + table(rows);
  for (const auto& row : kernel.report.rows)
    if (!row.result.reason.empty())
      out += "\n" + row.function + " " + std::string(runtime::name_of(row.dtype)) + " " + row.workload +
             ": " + row.result.reason;
  return out + "\n";
}

std::string bench_text(const std::vector<BenchedKernel>& kernels) {
  std::string out;
  std::size_t right = 0;
  std::size_t all = 0;
  for (const auto& kernel : kernels) {
    out += kernel_text(kernel);
    for (const auto& row : kernel.report.rows) {
      ++all;
      right += row.result.verdict == bench::Verdict::right ? 1 : 0;
    }
  }
  std::string seed = kernels.empty() ? "" : ", seed " + std::to_string(kernels.front().report.seed);
  return out + std::to_string(right) + " of " + counted(all, "row") + " right" + seed + "\n";
}

static Json summary_json(const bench::Summary& summary) {
  return {{"median_ns", summary.median},
          {"min_ns", summary.min},
          {"p95_ns", summary.p95},
          {"samples", summary.samples},
          {"spread", summary.spread},
          {"median_95_low_ns", summary.median_low},
          {"median_95_high_ns", summary.median_high}};
}

static Json row_json(const bench::BenchRow& row) {
  Json out = Json::object();
  out["function"] = row.function;
  out["dtype"] = runtime::name_of(row.dtype);
  out["workload"] = row.workload;
  out["sizes"] = row.sizes;
  out["verdict"] = bench::name_of(row.result.verdict);
  out["reason"] = row.result.reason.empty() ? Json(nullptr) : Json(row.result.reason);
  out["max_error"] = row.result.max_error;
  out["tolerance"] = {{"relative", row.tolerance.relative}, {"absolute", row.tolerance.absolute}};
  out["checked_elements"] = row.result.checked;
  out["device"] = row.result.device;
  out["timing"] = nullptr;
  if (!row.result.timing) return out;
  const auto& timing = *row.result.timing;
  out["timing"] = {{"kernel", summary_json(timing.kernel)},
                   {"samples_ns", timing.samples},
                   {"bytes", timing.bytes},
                   {"gb_per_s", timing.gb_per_s},
                   {"limit", summary_json(timing.limit)},
                   {"limit_gb_per_s", timing.limit_gb_per_s},
                   {"share_of_limit", timing.share_of_limit},
                   {"limit_method", timing.limit_method},
                   {"method", timing.method},
                   {"clocks", timing.clocks},
                   {"unsteady", timing.unsteady}};
  return out;
}

std::string bench_json(const std::vector<BenchedKernel>& kernels, const machine::Detected& machine) {
  Json out = Json::object();
  out["schema"] = "kernels.bench/1";
  out["program"] = std::string("kernels ") + kVersion;
  out["machine"] = Json::array();
  for (const auto& fact : machine.facts)
    out["machine"].push_back({{"name", fact.name}, {"value", fact.value}, {"source", fact.source}});
  out["kernels"] = Json::array();
  for (const auto& kernel : kernels) {
    Json item = Json::object();
    item["kernel"] = kernel.target.kernel;
    item["commit"] = kernel.target.commit.empty() ? Json(nullptr) : Json(kernel.target.commit);
    item["variant"] = kernel.target.variant;
    item["library"] = kernel.report.library;
    item["seed"] = kernel.report.seed;
    item["rows"] = Json::array();
    for (const auto& row : kernel.report.rows)
      item["rows"].push_back(row_json(row));
    out["kernels"].push_back(std::move(item));
  }
  return out.dump(2) + "\n";
}

}  // namespace kernels::app
