#pragma once

#include <string>
#include <vector>

#include "kernels/bench/results.h"

namespace kernels::app {

/// A table of at most 100 columns for each device and kernel, and below it what is not well.
std::string bench_text(const bench::Results& results);

/// Where and how some rows were measured: the device, what the limit is, how precise the times are, what
/// disturbed them. A line each.
std::string measuring_text(const bench::RunSettings& settings, const bench::DeviceRecord& device,
                           const std::vector<const bench::ResultRow*>& rows);

}  // namespace kernels::app
