#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "kernels/resolve/advice.h"

namespace kernels::app {

/// What would help, below a heading that says whom; lines of at most 100 columns, each after `indent`. Empty
/// without advice.
std::string advice_text(const std::vector<resolve::Advice>& advice, const std::string& heading,
                        const std::string& indent);

/// A list of objects: `kind` (`change` or `statement`), `text`, `version` of the kernel (a number or `null`),
/// `variant` (`null` for a statement), `changes` (a target's keys, `version`, `python`; to their values).
nlohmann::ordered_json advice_json(const std::vector<resolve::Advice>& advice);

}  // namespace kernels::app
