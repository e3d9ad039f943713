#pragma once

#include <string>

#include "kernels/bench/results.h"

namespace kernels::app {

/// One page that needs nothing else, in light and dark: how close each row is to the limit, the roofline of
/// the memory, latency over size, the samples, every row in numbers, the machine. Pure; texts of kernels are
/// hostile and are escaped; the page allows itself no script and no request.
std::string results_html(const bench::Results& results);

}  // namespace kernels::app
