#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels {

/// What one value of a layer's `forward`, or a member of the layer, is.
enum class ValueKind { tensor, integer, number, boolean };
/// `tensor`, `int`, `float`, `bool`.
std::string to_string(ValueKind kind);

/// A parameter of `forward`, or a member of the adopting layer that a function needs.
struct NativeValue {
  std::string name;  ///< by which `arguments` and `returns` refer to it
  ValueKind kind = ValueKind::tensor;
  std::vector<std::string>
      members;  ///< names that the member may have in a layer, the first one found counts
};

/// A new tensor that a function fills.
struct NativeOutput {
  std::string name;
  std::string like;              ///< a tensor of `forward`: same type, device and sizes, dense
  std::int64_t divide_last = 1;  ///< the last size is that of `like` divided by this
};

struct NativeTolerance {
  double relative = 0;
  double absolute = 0;
  bool operator==(const NativeTolerance&) const = default;
};

/// How a compiled function serves as a layer. The layer itself is pure: what it needs beside the parameters
/// of `forward` are members of the layer that it replaces.
struct NativeLayer {
  std::string name;
  std::string function;  ///< exported by the variant's library
  std::vector<NativeValue> forward;
  std::vector<NativeValue> members;
  std::vector<NativeOutput> outputs;
  std::vector<std::string> arguments;  ///< of the function, in order
  std::vector<std::string> returns;    ///< of `forward`: outputs, or parameters that are changed in place
  bool has_backward = true;
  bool can_torch_compile = false;
  std::map<std::string, NativeTolerance> tolerance;  ///< for each data type that it takes

  const NativeValue* parameter(std::string_view name) const;
  const NativeValue* member(std::string_view name) const;
  const NativeOutput* output(std::string_view name) const;
  /// `RMSNorm.forward(hidden_states: tensor) -> tensor`
  std::string signature() const;
};

/// The layers of a variant, as its file `layers.toml` declares them.
///
/// Format  TOML in ASCII:
///   schema = 1
///   [[layers]]
///   name = "RMSNorm"
///   function = "rms_norm"
///   forward = [{name = "hidden_states"}]                     # type: tensor (default), int, float or bool
///   members = [{name = "weight"}, {name = "eps", type = "float", members = ["variance_epsilon", "eps"]}]
///   outputs = [{name = "out", like = "hidden_states"}]       # divide_last = 2: half as many columns
///   arguments = ["out", "hidden_states", "weight", "eps"]
///   returns = ["out"]
///   has_backward = false                                     # default true, as in Python
///   can_torch_compile = false                                # default false
///   [layers.tolerance]
///   float32 = {relative = 1e-5, absolute = 1e-6}
struct NativeLayers {
  std::vector<NativeLayer> layers;
  const NativeLayer* find(std::string_view name) const;
  /// What stands in for a function: a declaration of that name, or of a layer without members that calls it.
  const NativeLayer* find_function(std::string_view name) const;
  std::vector<std::string> names() const;
};

/// Reads `layers.toml`. The text may be hostile: at most 1 MiB, 256 layers, 32 values each.
/// Errors  corrupt: no such form, a name used twice or not defined, an output that no argument fills; `what`
/// is in
///         the text.
Result<NativeLayers> parse_native_layers(std::string_view toml, const std::string& what);

}  // namespace kernels
