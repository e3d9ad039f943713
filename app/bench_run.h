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

/// What this machine is and how it will measure, without rows.
bench::Results empty_results(const bench::BenchOptions& options, App& app);

/// What came of a variant on the device of the options, as a subject of its own where it has none yet.
/// `layer`: of the project, empty if it serves none. Errors  io: the variant's bytes cannot be read.
Status add_report(bench::Results& results, const ops::BenchTarget& target, const std::string& layer,
                  bench::BenchReport report, const bench::BenchOptions& options);

/// The subjects, devices and rows of another part of the same run.
void append(bench::Results& results, bench::Results more);

}  // namespace kernels::app
