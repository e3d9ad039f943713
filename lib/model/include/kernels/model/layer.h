#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels {

/// For what a model is used, as a set of flags. Valid sets: inference or training, each alone or with
/// torch_compile; or fallback alone, under which a mapping registers a kernel for "any other mode".
class Mode {
 public:
  static const Mode inference;
  static const Mode training;
  static const Mode torch_compile;
  static const Mode fallback;

  /// The union. Errors  invalid_argument: inference with training, or fallback with anything.
  static Result<Mode> combine(Mode a, Mode b);
  /// Reads `inference`, `training|torch-compile`, `fallback`, …, and refuses sets that are not valid.
  static Result<Mode> parse(std::string_view text);
  /// `inference`, `training|torch-compile`, …
  std::string str() const;
  bool has(Mode flags) const { return (bits_ & flags.bits_) == flags.bits_; }
  /// The union, valid or not: for tables written in C++, where `validate` is asked by the one who reads them.
  friend constexpr Mode operator|(Mode a, Mode b) {
    return Mode(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  /// Errors  invalid_argument: the set is none of those named above.
  Status validate() const;
  auto operator<=>(const Mode&) const = default;

 private:
  constexpr explicit Mode(std::uint8_t bits) : bits_(bits) {}
  std::uint8_t bits_ = 0;
};

inline constexpr Mode Mode::inference{1};
inline constexpr Mode Mode::training{2};
inline constexpr Mode Mode::torch_compile{4};
inline constexpr Mode Mode::fallback{8};

enum class DeviceType { cuda, rocm, xpu, mps, npu, neuron, tpu, cpu };
std::string to_string(DeviceType device);
/// Errors  invalid_argument, with the nearest name.
Result<DeviceType> parse_device(std::string_view text);
const std::vector<std::string>& device_names();

/// Compute capabilities from `min` to `max`, both included, as 10·major + minor: 75 is 7.5.
struct CapabilityRange {
  std::uint32_t min = 0;
  std::uint32_t max = 9999;
  auto operator<=>(const CapabilityRange&) const = default;
  bool contains(std::uint32_t capability) const { return min <= capability && capability <= max; }
};

}  // namespace kernels
