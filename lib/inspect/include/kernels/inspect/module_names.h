#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::inspect {

/// What the text of a Python module offers to those who import it.
struct ModuleNames {
  std::vector<std::string>
      functions;  ///< `def` at the top level, in order, each once, without a leading underscore
  /// The list that the text assigns to `__all__`, if that is a plain list or tuple of texts.
  std::optional<std::vector<std::string>> all;
  std::vector<std::string>
      modules;  ///< that it imports from elsewhere: first parts of the names, sorted, each once
};

/// Reads a module's text; nothing is run, and names that are made at run time are not seen.
/// Errors  as of `read_layer_source`.
Result<ModuleNames> read_module_names(std::string_view python);

}  // namespace kernels::inspect
