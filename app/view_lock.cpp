#include "view_lock.h"

#include <nlohmann/json.hpp>

#include "text.h"

namespace kernels::app {

using Json = nlohmann::ordered_json;

static std::string gaps_text(const std::vector<ops::TargetGap>& gaps) {
  std::string out;
  for (const auto& gap : gaps) {
    out += "target " + gap.target + " would find no variant of " + gap.repo.str() + ":\n";
    for (const auto& decision : gap.decisions)
      out += "  " + decision.variant.name() + ": " + decision.reason + "\n";
    if (gap.decisions.empty()) out += "  it has no variants\n";
  }
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

template <class T>
static Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

static Json layer_json(const LockedLayer& layer) {
  auto facts = layer.facts.value_or(LayerFacts{});
  return {{"layer", layer.layer},
          {"device", to_string(layer.device)},
          {"mode", layer.mode.str()},
          {"min_capability", layer.capabilities.min},
          {"max_capability", layer.capabilities.max},
          {"repo_id", layer.repo.str()},
          {"commit", layer.commit.str()},
          {"kernel_layer", layer.kernel_layer},
          {"has_backward", or_null(facts.has_backward)},
          {"can_torch_compile", or_null(facts.can_torch_compile)},
          {"forward", or_null(facts.forward)}};
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
  out["layers"] = Json::array();
  for (const auto& layer : report.lock.layers)
    out["layers"].push_back(layer_json(layer));
  out["gaps"] = Json::array();
  for (const auto& gap : report.gaps) {
    Json reasons = Json::object();
    for (const auto& decision : gap.decisions)
      reasons[decision.variant.name()] = decision.reason;
    out["gaps"].push_back({{"target", gap.target}, {"repo_id", gap.repo.str()}, {"reasons", reasons}});
  }
  out["requests"] = report.counters.requests;
  return out.dump(2) + "\n";
}

}  // namespace kernels::app
