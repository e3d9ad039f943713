#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/ops/bench_layers.h"

#include "app.h"
#include "bench_run.h"

namespace kernels::app {

/// What is asked about the layers of a project.
struct LayerWishes {
  std::string layer;         ///< only this one; empty: all, and the kernels that serve none
  bool will_select = false;  ///< winners go into the project file, which must be the one that was locked
};

/// What was measured, and what a selection needs to know.
struct MeasuredLayers {
  bench::Results results;
  std::vector<ops::LayerContest> contests;
};

/// Where winners go, looked at before anything is measured.
struct SelectionFile {
  std::filesystem::path file;
  std::string text;  ///< when measuring began
};
/// Errors  as of `ops::selectable_file`.
Result<SelectionFile> open_selection(const std::filesystem::path& folder);

/// Measures the kernels for each layer together, then those that serve none, on each device.
/// Errors  as of `ops::plan_layers` and `measure_targets`.
Result<MeasuredLayers> measure_project(const ops::LockFiles& files, const Target& machine,
                                       const std::vector<Device>& devices, const LayerWishes& wishes,
                                       bench::BenchOptions options, App& app);

}  // namespace kernels::app
