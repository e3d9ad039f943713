#pragma once

#include <vector>

#include "kernels/bench/bench.h"
#include "kernels/ops/bench.h"

#include "app.h"

namespace kernels::app {

struct Device {
  runtime::DeviceKind kind = runtime::DeviceKind::cpu;
  int index = 0;
};

/// Measures all targets on all devices, one after the other, and puts what came of them together with what
/// this machine is. When it is interrupted, what was measured until then is there. Errors  as of
/// `bench_variant`.
Result<bench::Results> measure_targets(const std::vector<ops::BenchTarget>& targets,
                                       const std::vector<Device>& devices, bench::BenchOptions options,
                                       App& app);

}  // namespace kernels::app
