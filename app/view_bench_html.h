#pragma once

#include <string>

#include "kernels/bench/compare.h"
#include "kernels/bench/results.h"

namespace kernels::app {

/// One page that needs nothing else, in light and dark: how close each row is to the limit, the roofline of
/// the memory, latency over size, the samples, every row in numbers, the machine. Pure; texts of kernels are
/// hostile and are escaped; the page allows itself no script and no request.
/// `comparison`: with an earlier run, comes first; null: there is none.
std::string results_html(const bench::Results& results, const bench::Comparison* comparison = nullptr);

}  // namespace kernels::app
