#include "view_lock.h"

#include <ranges>

#include "kernels/base/joined.h"

#include "json_values.h"
#include "text.h"
#include "view_advice.h"
#include "view_layers.h"

namespace kernels::app {

static std::string versions_text(const std::vector<MajorMinor>& versions) {
  return joined(std::views::transform(versions, &MajorMinor::str));
}

static std::string gap_text(const ops::TargetGap& gap) {
  if (!gap.uncovered.empty())
    return "target " + gap.target + " would choose " + gap.decisions.front().variant.name() + " of " +
           gap.repo.str() + ", which has no code for capability " + versions_text(gap.uncovered) + "\n" +
           advice_text(gap.advice, "To have code for every GPU", "  ");
  std::string out = "target " + gap.target + " would find no variant of " + gap.repo.str() + ":\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& decision : gap.decisions)
    rows.push_back({"  " + plain(decision.variant.name()), plain(decision.reason)});
  out += rows.empty() ? "  it has no variants\n" : table_within(100, rows);
  return out + advice_text(gap.advice, "To make one fit", "  ");
}

static std::string gaps_text(const std::vector<ops::TargetGap>& gaps) {
  std::string out;
  for (const auto& gap : gaps)
    out += gap_text(gap);
  return out;
}

static std::string headline(const ops::LockReport& report, LockAction action,
                            std::chrono::milliseconds took) {
  std::string what = counted(report.lock.kernels.size(), "kernel");
  if (!report.lock.layers.empty()) what += " and " + counted(report.lock.layers.size(), "layer");
  std::string cost = " (" + human_duration(took) + ", " + counted(report.counters.requests, "request") + ")";
  if (!report.gaps.empty()) return "Not locked: " + counted(report.gaps.size(), "gap") + cost + "\n";
  if (action == LockAction::checked)
    return (report.changed ? "The lock is stale" : "The lock of " + what + " is up to date") + cost + "\n";
  if (action == LockAction::previewed)
    return (report.changed ? "Would lock " : "Nothing would change for ") + what + cost + "\n";
  return (report.changed ? "Locked " : "Nothing changed for ") + what + cost + "\n";
}

std::string lock_text(const ops::LockReport& report, LockAction action, std::chrono::milliseconds took) {
  std::string out;
  for (const auto& line : report.changes)
    out += line + "\n";
  out += gaps_text(report.gaps);
  if (report.changed && report.changes.empty() && report.gaps.empty())
    out += "~ the files on disk differ from what the lock says, in form or by hand\n";
  return out + headline(report, action, took);
}

static Json requirement_json(const Requirement& requirement) {
  Json out = Json::object();
  if (const auto* number = requirement.version()) out["version"] = *number;
  if (const auto* set = requirement.specifier()) out["specifier"] = set->str();
  if (const auto* revision = requirement.revision()) out["revision"] = *revision;
  return out;
}

static Json kernel_json(const LockedKernel& kernel) {
  Json variants = Json::array();
  for (const auto& variant : kernel.variants)
    variants.push_back(variant.name);
  Json out = Json::object();
  out["repo_id"] = kernel.repo.str();
  out["requested"] = requirement_json(kernel.requirement);
  out["asked_for"] = kernel.asked_for ? Json(kernel.asked_for->str()) : Json(nullptr);
  out["commit"] = kernel.commit.str();
  out["ref"] = kernel.ref;
  out["direct"] = kernel.direct;
  out["trusted_by"] = to_string(kernel.trust);
  out["variants"] = variants;
  return out;
}

static Json gap_json(const ops::TargetGap& gap) {
  Json out = Json::object();
  out["target"] = gap.target;
  out["repo_id"] = gap.repo.str();
  out["reasons"] = Json::object();
  for (const auto& decision : gap.decisions)
    if (!decision.accepted()) out["reasons"][decision.variant.name()] = decision.reason;
  out["variant"] = gap.uncovered.empty() ? Json(nullptr) : Json(gap.decisions.front().variant.name());
  out["uncovered_capabilities"] = Json::array();
  for (const auto& capability : gap.uncovered)
    out["uncovered_capabilities"].push_back(capability.str());
  out["advice"] = advice_json(gap.advice);
  return out;
}

std::string lock_json(const ops::LockReport& report, LockAction action) {
  Json out = Json::object();
  out["schema"] = "kernels.lock-report/1";
  out["lock_format"] = to_string(report.form);
  out["changed"] = report.changed;
  out["written"] = action == LockAction::written && report.changed && report.gaps.empty();
  out["changes"] = report.changes;
  out["warnings"] = report.warnings;
  out["kernels"] = Json::array();
  for (const auto& kernel : report.lock.kernels)
    out["kernels"].push_back(kernel_json(kernel));
  out["layers"] = locked_layers_json(report.lock.layers);
  out["gaps"] = Json::array();
  for (const auto& gap : report.gaps)
    out["gaps"].push_back(gap_json(gap));
  out["requests"] = report.counters.requests;
  return printed(out);
}

}  // namespace kernels::app
