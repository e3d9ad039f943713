#pragma once

#include <string>
#include <vector>

#include "kernels/model/target.h"
#include "kernels/ops/check.h"

namespace kernels::app {

enum class Explain { no, yes };

std::string check_text(const ops::CheckReport& report, const std::vector<Target>& targets, Explain explain);
/// Schema `kernels.check/1`.
std::string check_json(const ops::CheckReport& report, const std::vector<Target>& targets);

}  // namespace kernels::app
