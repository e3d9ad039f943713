#pragma once

#include <string>

#include "kernels/bench/results.h"

namespace kernels::app {

/// A table of at most 100 columns for each device and kernel, and below it what is not well.
std::string bench_text(const bench::Results& results);

}  // namespace kernels::app
