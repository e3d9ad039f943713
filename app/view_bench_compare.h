#pragma once

#include <string>

#include "kernels/bench/compare.h"

namespace kernels::app {

/// A table with a line for each row, within 100 columns, then how many became what, and what should be known
/// before it is believed.
std::string comparison_text(const bench::Comparison& comparison);
/// Schema `kernels.bench-compare/1`.
std::string comparison_json(const bench::Comparison& comparison);

/// How many devices were merged, and a table of those that are slower than their fleet.
std::string fleet_text(const bench::Fleet& fleet);
/// Schema `kernels.bench-fleet/1`: devices and outliers. The merged rows are a file of results of their own.
std::string fleet_json(const bench::Fleet& fleet);

/// `1 SLOWER, 3 SAME`: what is there, the worst first.
std::string counts_text(const bench::Comparison& comparison);

}  // namespace kernels::app
