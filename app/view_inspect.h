#pragma once

#include <string>

#include "kernels/ops/inspect.h"

namespace kernels::app {

/// Lines of at most 100 columns where names are not longer.
std::string inspect_text(const ops::InspectReport& report);
/// `kernels.inspect/1`: `files` with everything that was read from each library, `variants` with what belongs
/// to a variant as a whole.
std::string inspect_json(const ops::InspectReport& report);

}  // namespace kernels::app
