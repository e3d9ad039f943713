#include "view_bench_compare.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "json_values.h"
#include "measures.h"
#include "text.h"

namespace kernels::app {

using bench::Change;
using bench::ComparedRow;

namespace {

constexpr std::array kWorstFirst = {Change::broken, Change::slower,       Change::unsure,
                                    Change::same,   Change::faster,       Change::mended,
                                    Change::added,  Change::not_measured, Change::removed};

/// Which columns a table needs: those that tell rows apart.
struct Shown {
  bool kernel = false;
  bool device = false;
  bool sizes = false;
};

template <class T>
bool differ(const std::vector<ComparedRow>& rows, T ComparedRow::* member) {
  return std::ranges::any_of(rows, [&](const auto& row) { return row.*member != rows.front().*member; });
}

Shown shown_of(const std::vector<ComparedRow>& rows) {
  std::set<std::tuple<std::string, std::string, std::string, std::optional<bench::DType>, std::string>> names;
  bool has_twins = false;
  for (const auto& row : rows)
    has_twins |= !names.emplace(row.kernel, row.function, row.workload, row.dtype, row.device).second;
  return {.kernel = differ(rows, &ComparedRow::kernel),
          .device = differ(rows, &ComparedRow::device),
          .sizes = has_twins};
}

std::string median_text(const std::optional<bench::Summary>& summary) {
  return summary ? time_text(summary->median) : "-";
}

std::vector<std::string> line_of(const ComparedRow& row, const Shown& shown) {
  std::vector<std::string> line;
  if (shown.kernel) line.push_back(plain(row.kernel));
  line.push_back(plain(row.function));
  line.emplace_back(runtime::name_of(row.dtype));
  auto workload = plain(row.workload);
  if (shown.sizes && !row.sizes.empty()) workload += " " + plain(bench::describe(row.sizes));
  line.push_back(std::move(workload));
  if (shown.device) line.push_back(plain(row.device));
  line.push_back(median_text(row.before));
  line.push_back(median_text(row.after));
  line.push_back(row.ratio ? change_text(*row.ratio) : "-");
  line.emplace_back(bench::name_of(row.change));
  return line;
}

std::string table_of(const std::vector<ComparedRow>& rows) {
  const auto shown = shown_of(rows);
  std::vector<std::vector<std::string>> lines(1);
  auto& header = lines.front();
  if (shown.kernel) header.emplace_back("KERNEL");
  header.insert(header.end(), {"FUNCTION", "TYPE", "WORKLOAD"});
  if (shown.device) header.emplace_back("DEVICE");
  header.insert(header.end(), {"BEFORE", "NOW", "TIME", "VERDICT"});
  for (const auto& row : rows)
    lines.push_back(line_of(row, shown));
  return table_within(kTableColumns, lines);
}

/// What a person should know before believing the table.
std::string notes(const bench::Comparison& comparison) {
  std::string out;
  auto is_odd = [](const ComparedRow& row) {
    return row.same_bytes && (row.change == Change::faster || row.change == Change::slower);
  };
  if (auto odd = static_cast<std::size_t>(std::ranges::count_if(comparison.rows, is_odd)); odd > 0)
    out += counted(odd, "row") + " changed although the bytes are the same: look at the machine\n";
  if (comparison.count(Change::unsure) > 0) out += "UNSURE: more samples are needed to tell\n";
  for (const auto& difference : comparison.differences)
    out += "compared although not alike: " + plain(difference) + "\n";
  return out;
}

Json summary_json(const std::optional<bench::Summary>& summary) {
  if (!summary) return nullptr;
  return {{"samples", summary->samples},
          {"median_ns", summary->median},
          {"median_low_ns", summary->median_low},
          {"median_high_ns", summary->median_high},
          {"min_ns", summary->min},
          {"p95_ns", summary->p95},
          {"spread", summary->spread}};
}

Json ratio_json(const bench::Ratio& ratio) {
  return {{"value", ratio.value}, {"low", ratio.low}, {"high", ratio.high}};
}

Json row_json(const ComparedRow& row) {
  return {{"kernel", row.kernel},
          {"function", row.function},
          {"workload", row.workload},
          {"dtype", runtime::name_of(row.dtype)},
          {"sizes", row.sizes},
          {"device", row.device},
          {"change", bench::name_of(row.change)},
          {"reason", row.reason.empty() ? Json(nullptr) : Json(row.reason)},
          {"ratio", row.ratio ? ratio_json(*row.ratio) : Json(nullptr)},
          {"before", summary_json(row.before)},
          {"after", summary_json(row.after)},
          {"same_bytes", row.same_bytes}};
}

}  // namespace

std::string counts_text(const bench::Comparison& comparison) {
  std::string out;
  for (auto change : kWorstFirst)
    if (auto count = comparison.count(change); count > 0)
      out += (out.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(bench::name_of(change));
  return out.empty() ? "nothing to compare" : out;
}

std::string comparison_text(const bench::Comparison& comparison) {
  std::string out;
  if (!comparison.rows.empty()) out += table_of(comparison.rows) + "\n";
  for (const auto& row : comparison.rows)
    if (!row.reason.empty())
      out += plain(row.function) + " " + std::string(runtime::name_of(row.dtype)) + " " +
             plain(row.workload) + ": " + plain(row.reason) + "\n";
  out += notes(comparison);
  return out + counts_text(comparison) + "; up to " + share_text(comparison.threshold) + " is the same\n";
}

std::string comparison_json(const bench::Comparison& comparison) {
  Json out = {{"schema", "kernels.bench-compare/1"},           {"threshold", comparison.threshold},
              {"has_regression", comparison.has_regression()}, {"counts", Json::object()},
              {"differences", comparison.differences},         {"rows", Json::array()}};
  for (auto change : kWorstFirst)
    out["counts"][std::string(bench::name_of(change))] = comparison.count(change);
  for (const auto& row : comparison.rows)
    out["rows"].push_back(row_json(row));
  return printed(out);
}

std::string fleet_text(const bench::Fleet& fleet) {
  std::map<std::string, std::size_t> names;
  for (const auto& device : fleet.merged.devices)
    ++names[device.name];
  std::string out;
  for (const auto& [name, count] : names)
    out += std::to_string(count) + " × " + plain(name) + "\n";
  out += counted(fleet.merged.rows.size(), "row") + "\n";
  if (fleet.outliers.empty()) return out + "no device is slower than its fleet\n";
  std::vector<std::vector<std::string>> lines = {{"HOST", "JOB", "DEVICE", "UUID", "TIME", "ROWS"}};
  for (const auto& outlier : fleet.outliers)
    lines.push_back({plain(outlier.host), outlier.job.empty() ? "-" : plain(outlier.job),
                     plain(outlier.device), outlier.uuid.empty() ? "-" : plain(outlier.uuid),
                     change_text(outlier.ratio), std::to_string(outlier.rows)});
  return out + "\n" + table_within(kTableColumns, lines) + "\n" + counted(fleet.outliers.size(), "device") +
         " slower than the median of the fleet; the range is that over the rows\n";
}

std::string fleet_json(const bench::Fleet& fleet) {
  Json out = {{"schema", "kernels.bench-fleet/1"},
              {"rows", fleet.merged.rows.size()},
              {"devices", Json::array()},
              {"outliers", Json::array()}};
  for (std::size_t i = 0; i < fleet.merged.devices.size(); ++i) {
    const auto& device = fleet.merged.devices[i];
    out["devices"].push_back({{"source", i < fleet.sources.size() ? Json(fleet.sources[i]) : Json(nullptr)},
                              {"kind", device.kind},
                              {"index", device.index},
                              {"name", device.name},
                              {"uuid", or_null(device.uuid)},
                              {"driver", or_null(device.driver)}});
  }
  for (const auto& outlier : fleet.outliers)
    out["outliers"].push_back({{"host", outlier.host},
                               {"job", or_null(outlier.job)},
                               {"device", outlier.device},
                               {"uuid", or_null(outlier.uuid)},
                               {"ratio", ratio_json(outlier.ratio)},
                               {"rows", outlier.rows}});
  return printed(out);
}

}  // namespace kernels::app
