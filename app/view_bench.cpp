#include "view_bench.h"

#include <algorithm>
#include <cmath>

#include "measures.h"
#include "text.h"
#include "view_bench_layers.h"

namespace kernels::app {

namespace {

using bench::ResultRow;
using bench::SeriesKind;

/// Half of the width of the median's interval: `0.2 %`.
std::string precision_text(const bench::Summary& summary) {
  if (summary.median <= 0) return "-";
  auto half = 50 * (summary.median_high - summary.median_low) / summary.median;
  return decimal(half, half < 0.1 ? 2 : 1) + " %";
}

std::string time_of(const bench::Timing& timing, SeriesKind kind) {
  const auto* series = timing.find(kind);
  return series == nullptr ? "-" : time_text(series->summary().median);
}

std::string percent(const std::optional<bench::Ratio>& share) {
  return share ? share_text(share->value) : "-";
}

/// What a time stands beside: the machine's limit, or what a script itself compares with.
enum class Beside : std::uint8_t { limit, reference };

/// What the rows have in common.
struct Columns {
  Beside beside = Beside::limit;
  bool reference = false;     ///< some have one
  std::string rate = "RATE";  ///< the unit of all, or a name when they have two
};

Columns columns_of(const std::vector<const ResultRow*>& rows, Beside beside) {
  Columns columns{.beside = beside};
  std::size_t timed = 0;
  std::size_t flops = 0;
  for (const auto* row : rows) {
    columns.reference = columns.reference || row->result.speedup().has_value();
    timed += row->result.timing ? 1 : 0;
    flops += row->result.timing && row->result.timing->flops > 0 ? 1 : 0;
  }
  columns.reference = columns.reference && beside == Beside::limit;
  if (flops == 0) columns.rate = "GB/S";
  if (flops == timed && timed > 0) columns.rate = "TFLOP/S";
  return columns;
}

std::vector<std::string> titles(const Columns& columns) {
  if (columns.beside == Beside::reference)
    return {"WORKLOAD", "TIME", "+-", "REFERENCE", "SPEEDUP", "WARM", "ALONE", "RESULT"};
  std::vector<std::string> out = {"WORKLOAD", "TIME", "+-",    columns.rate,
                                  "OF LIMIT", "WARM", "ALONE", "RESULT"};
  if (columns.reference) out.insert(out.begin() + 5, "REF");
  return out;
}

std::string rate_cell(const bench::Timing& timing, const Columns& columns) {
  const auto text = rate_text(timing);
  return columns.rate == "RATE" ? text : text.substr(0, text.find(' '));
}

std::vector<std::string> row_cells(const ResultRow& row, const Columns& columns) {
  std::string verdict(bench::name_of(row.result.verdict));
  std::vector<std::string> cells = {"  " + row.workload};
  const auto& timing = row.result.timing;
  if (!timing) {
    cells.insert(cells.end(), columns.reference ? 7 : 6, "");
    cells.push_back(verdict);
    return cells;
  }
  const auto* cold = timing->find(SeriesKind::cold);
  cells.push_back(time_of(*timing, SeriesKind::cold));
  cells.push_back(cold == nullptr ? "-" : precision_text(cold->summary()));
  const auto speedup = row.result.speedup();
  if (columns.beside == Beside::reference) {
    cells.push_back(time_of(*timing, SeriesKind::reference));
    cells.push_back(speedup ? speedup_text(*speedup) : "-");
  } else {
    cells.push_back(rate_cell(*timing, columns));
    cells.push_back(percent(row.result.share_of_limit()));
  }
  if (columns.reference) cells.push_back(speedup ? ratio_text(speedup->value) : "-");
  cells.push_back(time_of(*timing, SeriesKind::warm));
  cells.push_back(time_of(*timing, SeriesKind::single));
  cells.push_back(verdict);
  return cells;
}

/// A line for each function and data type, and below it one for each of its shapes.
std::vector<std::vector<std::string>> all_cells(const std::vector<const ResultRow*>& rows, Beside beside) {
  const auto columns = columns_of(rows, beside);
  std::vector<std::vector<std::string>> cells = {titles(columns)};
  const ResultRow* last = nullptr;
  for (const auto* row : rows) {
    if (last == nullptr || last->function != row->function || last->dtype != row->dtype)
      cells.emplace_back(cells.front().size()).front() = function_text(*row);
    cells.push_back(row_cells(*row, columns));
    last = row;
  }
  for (auto& line : cells)
    for (auto& cell : line)
      cell = plain(cell);
  return cells;
}

std::uint64_t dropped(const bench::Conditions& conditions) {
  std::uint64_t all = 0;
  for (const auto& [reason, count] : conditions.dropped)
    all += count;
  return all;
}

/// What disturbed the samples of some rows, as one line.
std::string disturbances(const std::vector<const ResultRow*>& rows) {
  bench::Conditions all;
  for (const auto* row : rows) {
    if (!row->result.timing) continue;
    const auto& conditions = row->result.timing->conditions;
    for (const auto& [reason, count] : conditions.dropped)
      all.dropped[reason] += count;
    for (const auto& reason : conditions.slowed_by)
      if (std::ranges::find(all.slowed_by, reason) == all.slowed_by.end()) all.slowed_by.push_back(reason);
    all.other_processes = std::max(all.other_processes, conditions.other_processes);
  }
  std::string out;
  if (dropped(all) > 0) {
    out += "  disturbed samples dropped: ";
    for (const auto& [reason, count] : all.dropped)
      out += std::to_string(count) + " (" + reason + ") ";
    out.back() = '\n';
  }
  for (const auto& reason : all.slowed_by)
    out += "  the clocks were held back by: " + reason + "\n";
  if (all.other_processes > 0)
    out += "  " + counted(all.other_processes, "other process") + " used the device\n";
  return out;
}

std::string device_text(const bench::DeviceRecord& device) {
  auto out = plain(device.name);
  if (device.kind != "cpu" && device.index > 0)
    out += " (" + plain(device.kind) + ":" + std::to_string(device.index) + ")";
  if (!device.capability.empty()) out += ", compute capability " + plain(device.capability);
  if (!device.driver.empty()) out += ", driver " + plain(device.driver);
  return out;
}

std::string methods(const std::vector<const ResultRow*>& rows) {
  for (const auto* row : rows)
    if (const auto& timing = row->result.timing; timing && !timing->limit_method.empty())
      return "  limit: " + plain(timing->limit_method) + "\n";
  return {};
}

/// Of a processor that counts them.
std::string instructions(const std::vector<const ResultRow*>& rows) {
  double low = HUGE_VAL;
  double high = 0;
  for (const auto* row : rows) {
    if (!row->result.timing) continue;
    const auto& seen = row->result.timing->conditions;
    if (!seen.cycles || !seen.instructions || seen.cycles->low <= 0) continue;
    low = std::min(low, seen.instructions->low / seen.cycles->high);
    high = std::max(high, seen.instructions->high / seen.cycles->low);
  }
  if (high <= 0) return {};
  return "  instructions per cycle: " + decimal(low, 2) + " to " + decimal(high, 2) + "\n";
}

std::string reasons(const std::vector<const ResultRow*>& rows) {
  std::string out;
  for (const auto* row : rows)
    if (!row->result.reason.empty())
      out += "\n" + plain(function_text(*row)) + " " + plain(row->workload) + ": " +
             plain(row->result.reason) + "\n";
  return out;
}

/// How many rows are as precise as was asked, and how many ran out of time before.
std::string stops(const std::vector<const ResultRow*>& rows, const bench::RunSettings& settings) {
  std::size_t timed = 0;
  std::size_t precise = 0;
  for (const auto* row : rows) {
    if (!row->result.timing) continue;
    ++timed;
    precise += row->result.timing->stopped == bench::Stopped::precision ? 1 : 0;
  }
  if (timed == 0) return {};
  return "  " + std::to_string(precise) + " of " + counted(timed, "time") + " within " +
         decimal(100 * settings.precision, 2) + " %, the others as far as " +
         decimal(settings.budget_seconds, settings.budget_seconds < 10 ? 1 : 0) + " s went\n";
}

std::string subject_text(const bench::RunSettings& settings, const bench::Subject& subject,
                         const bench::DeviceRecord& device, const std::vector<const ResultRow*>& rows) {
  auto out = plain(subject.kernel) +
             (subject.commit.empty() ? "" : " at " + plain(subject.commit.substr(0, 12))) + "  " +
             plain(subject.variant) +
             (subject.layer.empty() ? "" : "\n  serves the layer " + plain(subject.layer)) + "\n  on " +
             device_text(device) + "\n" + methods(rows) + stops(rows, settings) + instructions(rows) +
             disturbances(rows);
  return out + "\n" +
         table_within(kTableColumns,
                      all_cells(rows, subject.runner == "python" ? Beside::reference : Beside::limit)) +
         reasons(rows) + "\n";
}

}  // namespace

std::string bench_text(const bench::Results& results) {
  auto out = contests_text(results);
  for (std::uint32_t s = 0; s < results.subjects.size(); ++s)
    for (std::uint32_t d = 0; d < results.devices.size(); ++d) {
      std::vector<const ResultRow*> rows;
      for (const auto& row : results.rows)
        if (row.subject == s && row.device == d) rows.push_back(&row);
      if (!rows.empty() && !is_contested(results, results.subjects[s]))
        out += subject_text(results.settings, results.subjects[s], results.devices[d], rows);
    }
  auto right = std::ranges::count(results.rows, bench::Verdict::right,
                                  [](const ResultRow& row) { return row.result.verdict; });
  auto unchecked = std::ranges::count(results.rows, bench::Verdict::unchecked,
                                      [](const ResultRow& row) { return row.result.verdict; });
  return out + std::to_string(right) + " of " + counted(results.rows.size(), "row") + " right, " +
         (unchecked > 0 ? std::to_string(unchecked) + " not checked, " : "") + "seed " +
         std::to_string(results.settings.seed) + "\n";
}

std::string measuring_text(const bench::RunSettings& settings, const bench::DeviceRecord& device,
                           const std::vector<const ResultRow*>& rows) {
  return "  on " + device_text(device) + "\n" + methods(rows) + stops(rows, settings) + disturbances(rows);
}

}  // namespace kernels::app
