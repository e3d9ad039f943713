#include "kernels/resolve/layer_choice.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "kernels/base/joined.h"
#include "kernels/resolve/variants.h"

namespace kernels::resolve {

std::string to_string(FallbackReason reason) {
  switch (reason) {
    case FallbackReason::none:
      return "none";
    case FallbackReason::no_layer:
      return "no layer";
    case FallbackReason::no_device:
      return "no device";
    case FallbackReason::no_range:
      return "no range";
    case FallbackReason::capability_unknown:
      return "capability unknown";
    case FallbackReason::no_mode:
      return "no mode";
    case FallbackReason::no_variant:
      return "no variant";
    case FallbackReason::not_supported:
      return "not supported";
  }
  return {};
}

bool has_capabilities(DeviceType device) {
  return device == DeviceType::cuda || device == DeviceType::rocm;
}

std::span<const Mode> requestable_modes() {
  static const std::array modes = {Mode::inference, *Mode::combine(Mode::inference, Mode::torch_compile),
                                   Mode::training, *Mode::combine(Mode::training, Mode::torch_compile)};
  return modes;
}

DeviceType device_of(const Target& target) {
  switch (target.backend.kind) {
    case BackendKind::cpu:
      return DeviceType::cpu;
    case BackendKind::cuda:
      return DeviceType::cuda;
    case BackendKind::rocm:
      return DeviceType::rocm;
    case BackendKind::xpu:
      return DeviceType::xpu;
    case BackendKind::cann:
      return DeviceType::npu;
    case BackendKind::metal:
      return DeviceType::mps;
    case BackendKind::neuron:
      return DeviceType::neuron;
    case BackendKind::tpu:
      return DeviceType::tpu;
  }
  return DeviceType::cpu;
}

static std::string capability_text(std::uint32_t capability) {
  return MajorMinor{.major = capability / 10, .minor = capability % 10}.str();
}

std::string display_capabilities(CapabilityRange range) {
  const CapabilityRange all;
  if (range == all) return "any";
  if (range.min == range.max) return capability_text(range.min);
  if (range.max == all.max) return capability_text(range.min) + " and up";
  if (range.min == all.min) return "up to " + capability_text(range.max);
  return capability_text(range.min) + " to " + capability_text(range.max);
}

namespace {

using Table = LayerTable<const LockedLayer*>;

Table table_of(const Lock& lock) {
  std::map<std::tuple<std::string, DeviceType, CapabilityRange>, Table::ByMode> entries;
  for (const auto& row : lock.layers)
    entries[{row.layer, row.device, row.capabilities}].insert_or_assign(row.mode, &row);
  Table table;
  for (auto& [key, modes] : entries)
    table.insert(std::get<0>(key), std::get<1>(key), std::get<2>(key), std::move(modes));
  return table;
}

std::vector<std::string> names_in_order(const Lock& lock) {
  std::vector<std::string> names;
  for (const auto& row : lock.layers)
    if (std::ranges::find(names, row.layer) == names.end()) names.push_back(row.layer);
  return names;
}

std::vector<std::optional<MajorMinor>> capabilities_of(const Target& target) {
  if (!has_capabilities(device_of(target)) || target.capabilities.empty()) return {std::nullopt};
  std::vector<std::optional<MajorMinor>> out(target.capabilities.begin(), target.capabilities.end());
  std::ranges::sort(out);
  auto [repeated, end] = std::ranges::unique(out);
  out.erase(repeated, end);
  return out;
}

/// The best variant of each locked kernel for one target, looked for when it is first asked for.
class Variants {
 public:
  Variants(const Lock& lock, const Target& target) : lock_(lock), target_(target) {}

  const std::string& best(const LockedLayer& row) {
    auto [found, is_new] = best_.try_emplace({row.repo, row.commit});
    if (is_new) found->second = look(row);
    return found->second;
  }

 private:
  std::string look(const LockedLayer& row) const {
    for (const auto& kernel : lock_.kernels) {
      if (kernel.repo != row.repo || kernel.commit != row.commit) continue;
      std::vector<std::string> names;
      for (const auto& variant : kernel.variants)
        names.push_back(variant.name);
      auto decisions = decide(parse_variant_names(names).valid, target_);
      if (!decisions.empty() && decisions.front().accepted()) return decisions.front().variant.name();
    }
    return {};
  }

  const Lock& lock_;
  const Target& target_;
  std::map<std::pair<RepoId, Commit>, std::string> best_;
};

/// What the kernel's layer says that it lacks for a mode; null if it says nothing.
const char* missing_support(const LockedLayer& row, Mode mode) {
  if (!row.facts) return nullptr;
  if (mode.has(Mode::training) && row.facts->has_backward == false) return "has no backward";
  if (mode.has(Mode::torch_compile) && row.facts->can_torch_compile == false)
    return "does not work under torch.compile";
  return nullptr;
}

/// Why, with what there is instead.
std::string explain(const LayerDecision& decision, const LayerChoice<const LockedLayer*>& choice,
                    const Table::ByDevice& devices) {
  std::vector<std::string> there;
  switch (decision.reason) {
    case FallbackReason::none:
    case FallbackReason::no_layer:
      return {};
    case FallbackReason::no_device:
      for (const auto& [device, ranges] : devices)
        there.push_back(to_string(device));
      return "no kernel for " + to_string(decision.device) + ", only for " + joined(there);
    case FallbackReason::no_range:
      for (const auto& [range, modes] : devices.at(decision.device).entries())
        there.push_back(display_capabilities(range));
      return "no kernel for this capability, only for " + joined(there);
    case FallbackReason::capability_unknown:
      for (const auto& [range, modes] : devices.at(decision.device).entries())
        there.push_back(display_capabilities(range));
      return "depends on the capability, which the target does not name: kernels for " + joined(there);
    case FallbackReason::no_mode:
      if (choice.modes == nullptr) return "no kernel for this mode";
      for (const auto& [mode, row] : *choice.modes)
        there.push_back(mode.str());
      return "no kernel for this mode, only for " + joined(there);
    case FallbackReason::no_variant:
      return decision.chosen->repo.str() + " has no variant for this target";
    case FallbackReason::not_supported:
      return decision.chosen->kernel_layer + " of " + decision.chosen->repo.str() + " " +
             missing_support(*decision.chosen, decision.mode);
  }
  return {};
}

}  // namespace

Result<std::vector<LayerDecision>> decide_layers(const Lock& lock, const Target& target,
                                                 std::span<const Mode> modes) {
  const auto table = table_of(lock);
  Variants variants(lock, target);
  std::vector<LayerDecision> out;
  for (const auto& layer : names_in_order(lock))
    for (const auto& capability : capabilities_of(target))
      for (Mode mode : modes) {
        auto order = lookup_order(mode);
        if (!order) return fail(std::move(order).error());
        LayerDecision decision{.layer = layer,
                               .device = device_of(target),
                               .capability = capability,
                               .mode = mode,
                               .chosen = std::nullopt,
                               .variant = {},
                               .text = {}};
        std::optional<std::uint32_t> number;
        if (capability) number = 10 * capability->major + capability->minor;
        auto choice = table.choose(layer, decision.device, number, *order);
        decision.reason = choice.reason;
        if (choice.value != nullptr) {
          decision.chosen = **choice.value;
          decision.variant = variants.best(*decision.chosen);
          if (missing_support(*decision.chosen, mode) != nullptr)
            decision.reason = FallbackReason::not_supported;
          if (decision.variant.empty()) decision.reason = FallbackReason::no_variant;
        }
        decision.text = explain(decision, choice, *table.find(layer));
        out.push_back(std::move(decision));
      }
  return out;
}

}  // namespace kernels::resolve
