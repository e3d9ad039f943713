#pragma once

#include <string>
#include <vector>

#include "kernels/bench/results.h"
#include "kernels/ops/bench_layers.h"
#include "kernels/ops/bench_locks.h"

namespace kernels::app {

/// Whether several kernels serve the layer of a subject in a run, so that they are shown side by side.
bool is_contested(const bench::Results& results, const bench::Subject& subject);

/// A table for each layer that several kernels serve, on each device: for each workload the time of each
/// kernel, its share of the limit, and its ratio to the fastest. Within 100 columns.
std::string contests_text(const bench::Results& results);

/// What became of each layer and mode, and what to do next. `file`: the project file.
std::string selection_text(const std::vector<ops::SelectedLayer>& selected, const std::string& file);

/// The text of `encode_results` with what was selected as its member `selected`.
std::string with_selection_json(const std::string& results, const std::vector<ops::SelectedLayer>& selected);

/// Which kernels two locks share, and which they do not.
std::string changes_text(const ops::LockChanges& changes);
/// The text of `comparison_json` with those kernels as its member `kernels`.
std::string with_changes_json(const std::string& comparison, const ops::LockChanges& changes);

}  // namespace kernels::app
