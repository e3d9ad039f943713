#include "view_check.h"

#include <algorithm>
#include <array>

#include "json_values.h"
#include "text.h"
#include "view_advice.h"
#include "view_layers.h"
#include "view_signature.h"

namespace kernels::app {

using ops::Aspect;
using ops::CheckRow;
using ops::State;

namespace {

struct Column {
  const char* title;
  Aspect aspect;
};
/// What a line shows between the kernel's name and its verdict.
constexpr std::array kAspectColumns = {
    Column{"VARIANT", Aspect::variant},   Column{"TRUST", Aspect::publisher},
    Column{"FILES", Aspect::files},       Column{"SIGNED", Aspect::signature},
    Column{"GPU CODE", Aspect::gpu_code}, Column{"DRIVER", Aspect::driver},
    Column{"ABI", Aspect::abi},           Column{"PYTHON", Aspect::python},
    Column{"METADATA", Aspect::metadata}};

std::string kernel_name(const CheckRow& row) {
  return row.revision.empty() ? row.kernel : row.kernel + " " + row.revision;
}

std::string brief(const CheckRow& row, Aspect aspect) {
  const auto* item = row.item(aspect);
  return item == nullptr || item->brief.empty() ? "-" : plain(item->brief);
}

/// A column in which no row has anything to say is left out, and so are two that matter only where something
/// is amiss, and the publishers if the Hub vouches for all of them.
bool is_used(const ops::CheckReport& report, Aspect aspect) {
  bool is_quiet = aspect == Aspect::metadata || aspect == Aspect::python;
  return std::ranges::any_of(report.rows, [&](const CheckRow& row) {
    const auto* item = row.item(aspect);
    if (item == nullptr) return false;
    if (aspect == Aspect::publisher) return item->brief != "Hub";
    return !is_quiet || (item->state != State::good && item->state != State::unknown);
  });
}

/// A target without a name is called by its description, which need not be said twice.
std::string target_line(const Target& target) {
  return target.name.contains('=') ? target.display() : target.name + ": " + target.display();
}

std::string rows_text(const ops::CheckReport& report, bool with_target) {
  std::vector<std::vector<std::string>> rows = {{"KERNEL"}};
  if (with_target) rows.front().emplace_back("TARGET");
  for (const auto& column : kAspectColumns)
    if (is_used(report, column.aspect)) rows.front().emplace_back(column.title);
  rows.front().emplace_back("VERDICT");
  for (const auto& row : report.rows) {
    auto& line = rows.emplace_back(std::vector{kernel_name(row)});
    if (with_target) line.push_back(row.target);
    for (const auto& column : kAspectColumns)
      if (is_used(report, column.aspect)) line.push_back(brief(row, column.aspect));
    line.push_back(ops::to_string(row.verdict));
  }
  return table_within(kTableColumns, rows);
}

std::string refusals(const CheckRow& row) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& decision : row.decisions)
    rows.push_back({"   ", decision.variant.name(),
                    decision.accepted() ? (decision.variant.name() == row.variant ? "chosen" : "fits")
                                        : decision.reason});
  return table_within(kTableColumns, rows);
}

/// One line for an aspect, with what to do on the next.
std::vector<std::string> item_row(const ops::CheckItem& item) {
  auto text = plain(item.text);
  if (!item.hint.empty()) text += "\n" + plain(item.hint);
  return {"   ", ops::to_string(item.aspect), std::move(text)};
}

bool is_worth_saying(const ops::CheckItem& item) {
  return item.state == State::bad || item.state == State::warning;
}

std::string way_out(const CheckRow& row) {
  if (row.verdict == ops::Verdict::incomplete && row.repo) return "    run `kernels download`\n";
  if (row.verdict == ops::Verdict::damaged && row.repo)
    return "    run `kernels download` to fetch what is damaged again\n";
  if (row.verdict == ops::Verdict::no_variant && row.decisions.empty() && row.repo)
    return "    the cache has no variant of it; run `kernels download`\n";
  return {};
}

/// What stands below the table for a row that is not well, or that is to be explained.
std::string row_text(const CheckRow& row, Explain explain, bool with_target) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& item : row.items)
    if (explain == Explain::yes || (is_worth_saying(item) && item.aspect != Aspect::variant))
      rows.push_back(item_row(item));
  bool shows_variants = explain == Explain::yes || row.verdict == ops::Verdict::no_variant;
  if (rows.empty() && !shows_variants) return {};
  std::string out = kernel_name(row) + (with_target ? " for " + row.target : "") + ": " +
                    ops::to_string(row.verdict) + "\n";
  out += table_within(kTableColumns, rows);
  if (explain == Explain::yes)
    for (const auto& finding : row.findings)
      out += "    " + inspect::to_string(finding.weight) + ": " + plain(finding.text) + "\n";
  if (shows_variants) out += refusals(row);
  return out + way_out(row) + advice_text(row.advice, "To make it run", "    ");
}

std::string summary(const ops::CheckReport& report) {
  auto good =
      std::ranges::count_if(report.rows, [](const CheckRow& row) { return ops::is_good(row.verdict); });
  return std::to_string(good) + " of " + counted(report.rows.size(), "kernel") + " would run\n";
}

Json items_json(const CheckRow& row) {
  Json out = Json::array();
  for (const auto& item : row.items)
    out.push_back({{"check", ops::to_string(item.aspect)},
                   {"state", ops::to_string(item.state)},
                   {"text", item.text},
                   {"hint", or_null(item.hint)}});
  return out;
}

Json decisions_json(const CheckRow& row) {
  Json out = Json::array();
  for (const auto& decision : row.decisions)
    out.push_back({{"variant", decision.variant.name()},
                   {"compatible", decision.accepted()},
                   {"reason", decision.accepted() ? Json(nullptr) : Json(decision.reason)}});
  return out;
}

Json findings_json(const CheckRow& row) {
  Json out = Json::array();
  for (const auto& finding : row.findings)
    out.push_back({{"weight", inspect::to_string(finding.weight)},
                   {"rule", finding.rule},
                   {"text", finding.text},
                   {"hint", or_null(finding.hint)}});
  return out;
}

Json row_json(const CheckRow& row) {
  Json out = Json::object();
  out["repo_id"] = row.repo ? Json(row.repo->str()) : Json(nullptr);
  out["path"] = row.repo ? Json(nullptr) : Json(row.kernel);
  out["revision"] = or_null(row.revision);
  out["commit"] = or_null(row.commit);
  out["target"] = row.target;
  out["verdict"] = ops::to_string(row.verdict);
  out["good"] = ops::is_good(row.verdict);
  out["gpu_code"] = ops::to_string(row.gpu_code);
  out["variant"] = or_null(row.variant);
  out["files"] = row.files;
  out["bytes"] = row.bytes;
  out["missing"] = row.missing;
  out["damaged"] = row.damaged;
  out["archs"] = row.archs;
  out["uncovered_capabilities"] = Json::array();
  for (const auto& capability : row.uncovered)
    out["uncovered_capabilities"].push_back(capability.str());
  out["checks"] = items_json(row);
  out["signature"] = verification_json(row.signature);
  out["findings"] = findings_json(row);
  out["decisions"] = decisions_json(row);
  out["advice"] = advice_json(row.advice);
  return out;
}

}  // namespace

std::string check_text(const ops::CheckReport& report, const std::vector<Target>& targets, Explain explain) {
  std::string out;
  for (const auto& target : targets)
    out += target_line(target) + "\n";
  bool with_target = targets.size() > 1;
  out += "\n" + rows_text(report, with_target);
  for (const auto& row : report.rows)
    if (auto text = row_text(row, explain, with_target); !text.empty()) out += "\n" + text;
  out += "\n" + summary(report);
  if (report.fetched.requests > 0)
    out += "read " + human_bytes(report.fetched.bytes) + " from the Hub in " +
           counted(report.fetched.requests, "request") + "\n";
  auto layers = layers_text(report);
  return layers.empty() ? out : out + "\n" + layers;
}

std::string check_json(const ops::CheckReport& report, const std::vector<Target>& targets) {
  Json out = Json::object();
  out["schema"] = "kernels.check/1";
  out["good"] = report.good();
  out["targets"] = Json::array();
  for (const auto& target : targets)
    out["targets"].push_back({{"name", target.name}, {"description", target.display()}});
  out["kernels"] = Json::array();
  for (const auto& row : report.rows)
    out["kernels"].push_back(row_json(row));
  out["layers"] = locked_layers_json(report.layers);
  out["layer_decisions"] = layer_decisions_json(report);
  out["warnings"] = report.warnings;
  out["bytes_fetched"] = report.fetched.bytes;
  return printed(out);
}

}  // namespace kernels::app
