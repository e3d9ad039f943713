#pragma once

#include <string>
#include <vector>

#include "kernels/bench/bench.h"
#include "kernels/machine/detect.h"
#include "kernels/ops/bench.h"

namespace kernels::app {

struct BenchedKernel {
  ops::BenchTarget target;
  bench::BenchReport report;
};

std::string bench_text(const std::vector<BenchedKernel>& kernels);
/// Schema `kernels.bench/1`, with every sample.
std::string bench_json(const std::vector<BenchedKernel>& kernels, const machine::Detected& machine);

}  // namespace kernels::app
