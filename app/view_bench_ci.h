#pragma once

#include <string>

#include "kernels/bench/compare.h"
#include "kernels/bench/results.h"

// Results for machines that build and for the pages on which they report. Texts of kernels are hostile here.

namespace kernels::app {

/// GitHub-flavoured Markdown: a table for each device, then what is not right and why.
std::string results_markdown(const bench::Results& results);
/// The same for a comparison: one table, then what broke, then the differences.
std::string comparison_markdown(const bench::Comparison& comparison);

/// JUnit XML: a suite for each device, a case for each row; the time of a case is that of one call. What is
/// not right is a failure of the type of its verdict.
std::string results_junit(const bench::Results& results);
/// The same for a comparison: SLOWER and BROKEN are failures; what has no time on both sides is skipped.
std::string comparison_junit(const bench::Comparison& comparison);

}  // namespace kernels::app
