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

/// What this machine is and how it will measure, without rows.
bench::Results new_results(const bench::BenchOptions& options, App& app);

/// A variant that has rows or will have some; its index. `layer`: of the project, empty if it serves none.
/// Errors  io: its bytes cannot be read.
Result<std::uint32_t> add_subject(bench::Results& results, const ops::BenchTarget& target,
                                  const std::string& layer);

/// What came of a subject on the device of the options.
void add_report(bench::Results& results, std::uint32_t subject, bench::BenchReport report,
                const bench::BenchOptions& options);

/// Measures all targets on all devices, one after the other, and adds what came of them. When it is
/// interrupted, what was measured until then is there. Errors  as of `bench_variant`.
Status measure_targets(const std::vector<ops::BenchTarget>& targets, const std::vector<Device>& devices,
                       bench::BenchOptions options, bench::Results& results, App& app);

}  // namespace kernels::app
