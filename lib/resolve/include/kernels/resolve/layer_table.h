#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/layer.h"

namespace kernels::resolve {

/// Values by capability range, as one layer has them for CUDA or ROCm.
///
/// Equal bounds replace. Of several ranges that contain a capability the narrowest wins; of equal width the
/// one with the higher minimum, so that the answer never depends on the order of insertion. A range whose
/// minimum is above its maximum is kept and contains nothing; who reads ranges from people refuses it there.
///
/// Cost     a vector in order of preference: insert is O(n), narrowest is O(n) and stops at the first range
///          that contains. Layers have one to five ranges, where this beats a tree; it is no structure for
///          thousands.
/// Threads  as a std::vector: many readers, or one writer.
template <class T>
class IntervalMap {
 public:
  void insert(CapabilityRange range, T value) {
    auto place = std::ranges::lower_bound(entries_, rank(range), {},
                                          [](const auto& entry) { return rank(entry.first); });
    if (place != entries_.end() && place->first == range)
      place->second = std::move(value);
    else
      entries_.insert(place, {range, std::move(value)});
  }

  /// Null if no range contains the capability. Valid until the next insert.
  const T* narrowest(std::uint32_t capability) const {
    auto found =
        std::ranges::find_if(entries_, [&](const auto& entry) { return entry.first.contains(capability); });
    return found == entries_.end() ? nullptr : &found->second;
  }

  bool empty() const { return entries_.empty(); }
  /// In order of preference: narrowest first, of equal width the higher minimum first.
  const std::vector<std::pair<CapabilityRange, T>>& entries() const { return entries_; }

 private:
  /// Sorts by width, then by falling minimum; both together tell all ranges apart. Signed and 64 bits wide,
  /// because a width may be negative.
  static std::pair<std::int64_t, std::int64_t> rank(CapabilityRange range) {
    auto min = static_cast<std::int64_t>(range.min);
    return {static_cast<std::int64_t>(range.max) - min, -min};
  }

  std::vector<std::pair<CapabilityRange, T>> entries_;
};

/// The registered modes to look for, in order, for a requested mode:
///
///   inference               inference, inference|torch-compile, training, training|torch-compile, fallback
///   inference|torch-compile inference|torch-compile, training|torch-compile, fallback
///   training                training, training|torch-compile, fallback
///   training|torch-compile  training|torch-compile, fallback
///
/// A kernel for a stronger mode may serve a weaker one, never the other way round. The memory is static.
/// Errors  invalid_argument: `fallback`, or neither inference nor training.
Result<std::span<const Mode>> lookup_order(Mode requested);

/// The first of the lookup order that is registered, or nothing. The pointer is into `registered`.
template <class T>
std::optional<std::pair<Mode, const T*>> select_by_mode(const std::map<Mode, T>& registered,
                                                        std::span<const Mode> order) {
  for (Mode mode : order)
    if (auto found = registered.find(mode); found != registered.end())
      return std::pair<Mode, const T*>{mode, &found->second};
  return std::nullopt;
}

}  // namespace kernels::resolve
