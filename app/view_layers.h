#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "kernels/ops/check.h"

namespace kernels::app {

/// What the lock registers for its layers, and what each of them does on each target; nothing for a lock
/// without layers. No line is longer than 100 columns.
std::string layers_text(const ops::CheckReport& report);

/// The rows of the lock, as `lock --json` shows them.
nlohmann::ordered_json locked_layers_json(const std::vector<LockedLayer>& layers);
/// The list `layer_decisions` of `kernels.check/1`.
nlohmann::ordered_json layer_decisions_json(const ops::CheckReport& report);

}  // namespace kernels::app
