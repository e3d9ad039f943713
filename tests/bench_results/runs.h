#pragma once

#include <string>

#include "kernels/bench/results.h"

namespace kernels::test {

/// A run of one kernel on devices of one name, without rows.
inline bench::Results run_on(std::size_t devices, const std::string& name = "NVIDIA H200") {
  bench::Results run;
  run.program = "kernels 0.1.0";
  run.started = "2026-11-22T17:12:54Z";
  run.host = "rack1-07";
  run.settings = {.seed = 7, .precision = 0.005, .budget_seconds = 2};
  for (std::uint32_t i = 0; i < devices; ++i) {
    auto& device = run.devices.emplace_back();
    device.kind = "cuda";
    device.index = i;
    device.name = name;
    device.uuid = "GPU-" + std::to_string(i);
    device.driver = "580.1";
    device.max_clock_mhz = 1980;
  }
  auto& subject = run.subjects.emplace_back();
  subject.kernel = "kernels-community/rmsnorm";
  subject.variant = "cuda13";
  subject.variant_sha256 = "ab12";
  subject.runner = "tvm-ffi";
  return run;
}

/// A right row without a time.
inline bench::ResultRow& add_row(bench::Results& run, const std::string& function, std::uint32_t device = 0) {
  auto& row = run.rows.emplace_back();
  row.device = device;
  row.function = function;
  row.workload = "llama";
  row.sizes = {{"cols", 4096}, {"rows", 128}};
  row.result.verdict = bench::Verdict::right;
  return row;
}

/// A row whose samples lie within 0.1 % of `ns`; the interval of their median within 0.03 %.
inline bench::ResultRow& add_time(bench::Results& run, const std::string& function, double ns,
                                  std::uint32_t device = 0) {
  auto& row = add_row(run, function, device);
  row.result.timing.emplace();
  auto& samples = row.result.timing->series[bench::SeriesKind::cold].samples;
  constexpr int kHalf = 50;
  for (int i = -kHalf; i <= kHalf; ++i)
    samples.push_back(ns * (1 + 0.001 * i / kHalf));
  return row;
}

}  // namespace kernels::test
