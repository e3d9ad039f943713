#include "view_layers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "json_values.h"
#include "text.h"

namespace kernels::app {

using resolve::LayerDecision;

namespace {

/// Modes in which a layer does the same, and what that is.
struct Conduct {
  std::vector<Mode> modes;
  std::string text;
  bool operator==(const Conduct&) const = default;
};

/// Capabilities for which a layer does the same in every mode.
struct LayerBlock {
  std::string layer;
  std::string capabilities;
  std::vector<Conduct> conducts;
};

std::string kernel_text(const LockedLayer& row) {
  return row.repo.str() + " " + row.commit.abbreviated() + " " + plain(row.kernel_layer);
}

std::string conduct_text(const LayerDecision& decision) {
  if (decision.runs_kernel()) return kernel_text(*decision.chosen) + " for " + decision.chosen->mode.str();
  if (decision.reason == resolve::FallbackReason::capability_unknown) return "unknown: " + decision.text;
  return "own forward: " + decision.text;
}

void add_conduct(std::vector<Conduct>& conducts, const LayerDecision& decision) {
  auto text = conduct_text(decision);
  auto same = std::ranges::find(conducts, text, &Conduct::text);
  if (same == conducts.end()) same = conducts.insert(conducts.end(), {.modes = {}, .text = std::move(text)});
  same->modes.push_back(decision.mode);
}

std::string capability_text(const LayerDecision& decision) {
  if (decision.capability) return decision.capability->str();
  return resolve::has_capabilities(decision.device) ? "unknown" : "-";
}

/// Decisions come layer by layer and, within a layer, capability by capability.
std::vector<LayerBlock> blocks_of(const std::vector<LayerDecision>& decisions) {
  std::vector<LayerBlock> blocks;
  for (std::size_t begin = 0, end = 0; begin < decisions.size(); begin = end) {
    const auto& first = decisions[begin];
    LayerBlock block{.layer = plain(first.layer), .capabilities = capability_text(first), .conducts = {}};
    for (; end < decisions.size() && decisions[end].layer == first.layer &&
           decisions[end].capability == first.capability;
         ++end)
      add_conduct(block.conducts, decisions[end]);
    if (!blocks.empty() && blocks.back().layer == block.layer && blocks.back().conducts == block.conducts)
      blocks.back().capabilities += ", " + block.capabilities;
    else
      blocks.push_back(std::move(block));
  }
  return blocks;
}

std::string modes_text(const std::vector<Mode>& modes) {
  if (modes.size() == resolve::requestable_modes().size()) return "every mode";
  std::string out;
  for (Mode mode : modes)
    out += (out.empty() ? "" : "\n") + mode.str();
  return out;
}

std::string registered_table(const std::vector<LockedLayer>& layers) {
  std::vector<std::vector<std::string>> rows = {{"LAYER", "DEVICE", "CAPABILITY", "MODE", "KERNEL"}};
  for (const auto& row : layers)
    rows.push_back(
        {plain(row.layer), to_string(row.device),
         resolve::has_capabilities(row.device) ? resolve::display_capabilities(row.capabilities) : "-",
         row.mode.str(), kernel_text(row)});
  return table_within(kTableColumns, rows);
}

std::string target_table(const ops::LayerRows& on_target) {
  std::vector<std::vector<std::string>> rows = {{"LAYER", "CAPABILITY", "MODE", "CHOICE"}};
  for (const auto& block : blocks_of(on_target.decisions))
    for (const auto& conduct : block.conducts)
      rows.push_back({block.layer, block.capabilities, modes_text(conduct.modes), conduct.text});
  return table_within(kTableColumns, rows);
}

/// Whatever the capability and the mode among those shown.
std::string summary(const ops::LayerRows& on_target) {
  std::vector<std::string> layers;
  std::vector<std::string> falling;
  auto note = [](std::vector<std::string>& names, const std::string& name) {
    if (names.empty() || names.back() != name) names.push_back(name);
  };
  for (const auto& decision : on_target.decisions) {
    note(layers, decision.layer);
    if (!decision.runs_kernel()) note(falling, decision.layer);
  }
  return std::to_string(layers.size() - falling.size()) + " of " + counted(layers.size(), "layer") +
         " would always take a kernel\n";
}

Json decision_json(const LayerDecision& decision, const std::string& target) {
  Json out = Json::object();
  out["layer"] = decision.layer;
  out["target"] = target;
  out["device"] = to_string(decision.device);
  out["capability"] = decision.capability ? Json(decision.capability->str()) : Json(nullptr);
  out["mode"] = decision.mode.str();
  out["choice"] = decision.runs_kernel()                                           ? "kernel"
                  : decision.reason == resolve::FallbackReason::capability_unknown ? "unknown"
                                                                                   : "own forward";
  out["fallback"] = decision.runs_kernel() ? Json(nullptr) : Json(to_string(decision.reason));
  out["reason"] = decision.runs_kernel() ? Json(nullptr) : Json(decision.text);
  const auto& row = decision.chosen;
  out["repo_id"] = row ? Json(row->repo.str()) : Json(nullptr);
  out["commit"] = row ? Json(row->commit.str()) : Json(nullptr);
  out["kernel_layer"] = row ? Json(row->kernel_layer) : Json(nullptr);
  out["registered_mode"] = row ? Json(row->mode.str()) : Json(nullptr);
  out["min_capability"] = row ? Json(row->capabilities.min) : Json(nullptr);
  out["max_capability"] = row ? Json(row->capabilities.max) : Json(nullptr);
  out["variant"] = decision.variant.empty() ? Json(nullptr) : Json(decision.variant);
  return out;
}

Json layer_json(const LockedLayer& layer) {
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

}  // namespace

std::string layers_text(const ops::CheckReport& report) {
  if (report.layers.empty()) return {};
  std::string out = "layers in the lock:\n" + registered_table(report.layers);
  for (const auto& on_target : report.layer_rows)
    out += "\nlayers on " + on_target.target + ":\n" + target_table(on_target) + summary(on_target);
  return out;
}

Json locked_layers_json(const std::vector<LockedLayer>& layers) {
  Json out = Json::array();
  for (const auto& row : layers)
    out.push_back(layer_json(row));
  return out;
}

Json layer_decisions_json(const ops::CheckReport& report) {
  Json out = Json::array();
  for (const auto& on_target : report.layer_rows)
    for (const auto& decision : on_target.decisions)
      out.push_back(decision_json(decision, on_target.target));
  return out;
}

}  // namespace kernels::app
