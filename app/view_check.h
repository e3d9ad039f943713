#pragma once

#include <string>
#include <vector>

#include "kernels/model/target.h"
#include "kernels/ops/check.h"

namespace kernels::app {

enum class Explain { no, yes };

/// A table with a line for each kernel and target, what is not well below it with what to do, and the layers.
/// `explain`: every aspect of every row, and every variant with the reason why it was not taken. At most 100
/// columns where names are not longer.
std::string check_text(const ops::CheckReport& report, const std::vector<Target>& targets, Explain explain);
/// `kernels.check/1`.
std::string check_json(const ops::CheckReport& report, const std::vector<Target>& targets);

}  // namespace kernels::app
