#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/layer.h"
#include "kernels/model/lock.h"
#include "kernels/model/target.h"
#include "kernels/resolve/layer_table.h"

namespace kernels::resolve {

/// Why a layer runs its own forward; in the order in which the tests are made, the first that fails is the
/// reason.
enum class FallbackReason {
  none,                ///< a kernel runs
  no_layer,            ///< nothing is registered under the layer's name
  no_device,           ///< nothing for this device
  no_range,            ///< no capability range holds the capability
  capability_unknown,  ///< the answer depends on the capability, and that is not known
  no_mode,             ///< nothing for this mode, nor for one that may stand in for it
  no_variant,          ///< the kernel has no variant that the target can use
  not_supported,       ///< the kernel says that it has no backward, or does not work under torch.compile
};
/// `no device`, `capability unknown`, …; `none` for a kernel that runs.
std::string to_string(FallbackReason reason);

/// Whether mappings of this device may be split by capability; for the others it plays no part.
bool has_capabilities(DeviceType device);

/// The modes for which a model can be kernelized: inference and training, each alone and with torch-compile.
std::span<const Mode> requestable_modes();

/// What a LayerTable answers.
template <class T>
struct LayerChoice {
  const T* value = nullptr;          ///< null: the layer's own forward runs
  Mode registered = Mode::fallback;  ///< under which mode the value is registered
  FallbackReason reason = FallbackReason::none;
  const std::map<Mode, T>* modes = nullptr;  ///< of the range that was found, where there is one
};

/// A layer mapping: layer → device → capability range → mode → T.
///
/// Cost     choose is a search in two maps and in a layer's few ranges; no memory is taken.
/// Threads  as a standard container. Pointers are valid until the next insert.
template <class T>
class LayerTable {
 public:
  using ByMode = std::map<Mode, T>;
  using ByDevice = std::map<DeviceType, IntervalMap<ByMode>>;

  /// Replaces what is registered for the layer, the device and these bounds, all of its modes.
  void insert(const std::string& layer, DeviceType device, CapabilityRange range, ByMode modes) {
    layers_[layer][device].insert(range, std::move(modes));
  }

  /// What is registered for a layer, or null.
  const ByDevice* find(const std::string& layer) const {
    auto found = layers_.find(layer);
    return found == layers_.end() ? nullptr : &found->second;
  }

  /// The range decides before the mode does: a wider range does not help where the narrowest one that holds
  /// the capability has nothing for the mode. Without a capability there is an answer only if it is the same
  /// for all of them. `order` is that of `lookup_order`.
  LayerChoice<T> choose(const std::string& layer, DeviceType device, std::optional<std::uint32_t> capability,
                        std::span<const Mode> order) const {
    const auto* devices = find(layer);
    if (devices == nullptr) return {.reason = FallbackReason::no_layer};
    auto ranges = devices->find(device);
    if (ranges == devices->end()) return {.reason = FallbackReason::no_device};
    if (!has_capabilities(device)) capability = 0;
    if (capability) return choose_at(ranges->second, *capability, order);
    auto answer = choose_at(ranges->second, 0, order);
    for (const auto& [range, modes] : ranges->second.entries())
      for (auto change : {range.min, range.max + 1}) {  // between these the answer stays the same
        if (change > CapabilityRange{}.max) continue;
        auto there = choose_at(ranges->second, change, order);
        if (there.value != answer.value || there.reason != answer.reason)
          return {.reason = FallbackReason::capability_unknown};
        if (there.modes != answer.modes) answer.modes = nullptr;
      }
    return answer;
  }

 private:
  static LayerChoice<T> choose_at(const IntervalMap<ByMode>& ranges, std::uint32_t capability,
                                  std::span<const Mode> order) {
    const auto* modes = ranges.narrowest(capability);
    if (modes == nullptr) return {.reason = FallbackReason::no_range};
    auto selected = select_by_mode(*modes, order);
    if (!selected) return {.reason = FallbackReason::no_mode, .modes = modes};
    return {.value = selected->second, .registered = selected->first, .modes = modes};
  }

  std::map<std::string, ByDevice> layers_;
};

/// What a layer of a lock does on one target, for one capability and one mode.
struct LayerDecision {
  std::string layer;
  DeviceType device = DeviceType::cpu;
  std::optional<MajorMinor> capability;  ///< nothing: not known, or of no meaning for the device
  Mode mode = Mode::inference;           ///< for which the model is kernelized
  FallbackReason reason = FallbackReason::none;
  std::optional<LockedLayer> chosen;  ///< the row of the lock; also where its kernel has no variant
  std::string variant;                ///< of the chosen kernel; empty if none fits
  std::string text;  ///< why the layer's own forward runs, for people; empty if a kernel does
  bool runs_kernel() const { return reason == FallbackReason::none; }
};

/// The device on which the models of a target run, which is that of its backend.
DeviceType device_of(const Target& target);

/// Decides for each layer of the lock, in the order in which the lock first names them; for each capability
/// of the target, rising, once (or for none, if it names none or the device knows none); for each mode.
///
/// Of rows with the same layer, device, bounds and mode the last one counts.
/// Errors  invalid_argument: a mode that cannot be requested.
Result<std::vector<LayerDecision>> decide_layers(const Lock& lock, const Target& target,
                                                 std::span<const Mode> modes);

/// A range for people: `any`, `8.0 to 8.9`, `9.0 and up`, `up to 8.9`, `9.0`.
std::string display_capabilities(CapabilityRange range);

}  // namespace kernels::resolve
