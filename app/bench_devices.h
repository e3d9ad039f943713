#pragma once

#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/machine/detect.h"

#include "bench_run.h"

namespace kernels::app {

/// `auto`, `all` (every CUDA device of this machine, however many are alike), `cpu`, `cuda` or `cuda:1`.
/// Errors  invalid_argument.
Result<std::vector<Device>> parse_bench_devices(const std::string& text, const machine::Detected& machine);

}  // namespace kernels::app
