#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/contest.h"
#include "kernels/model/native_layers.h"
#include "kernels/model/project.h"
#include "kernels/ops/bench.h"

// The layers of a project, measured where they run: which kernels could serve each, and which should.

namespace kernels::ops {

/// A kernel that could serve a layer.
struct LayerCandidate {
  BenchTarget target;
  bench::Contender contender;
  NativeLayer serves;  ///< how, as its layers.toml says
  // As the project writes it.
  RepoId repo;
  Requirement requirement;
  bool trust = false;
};

/// A mode that the layer is mapped for on the device.
struct LayerSlot {
  Mode mode = Mode::fallback;
  std::string mapped;                    ///< repository, for people
  std::optional<std::size_t> candidate;  ///< that repository's; none: it cannot be measured
};

/// The kernels for one layer on one device. Several rows of a mapping, and every kernel that the project
/// names itself and that declares a layer of that name, are candidates.
struct LayerContest {
  std::string layer;
  DeviceType device = DeviceType::cpu;
  std::optional<std::uint32_t> capability;  ///< 90 for 9.0; none where the device has none
  std::vector<LayerCandidate> candidates;   ///< the mapped ones first; never empty
  std::vector<LayerSlot> slots;
};

struct LayerPlan {
  std::vector<LayerContest> contests;
  std::vector<BenchTarget> others;  ///< kernels that serve no layer here: measured as such
  std::vector<std::string> notes;   ///< what is not measured, and why
};

struct LayerQuestion {
  const cache::Layout& layout;
  const LockFiles& files;  ///< with `kernels.sum`
  const Project* project;  ///< null: there is only a lock
  Target target;           ///< this machine
  DeviceType device = DeviceType::cpu;
  std::optional<std::uint32_t> capability;
  bool will_select = false;            ///< the project file must be the one that was locked
  std::string layer;                   ///< only this one, and nothing else; empty: all
  const bench::BenchOptions& options;  ///< its filters
};

/// Which kernels to measure for which layer on a device, at which shapes: those of the project
/// (`[[bench.X]]`) or of the kernel that is mapped. A candidate takes part if its layers.toml declares the
/// layer, it is there for this device, and its tensors have the shapes of the mapped one's at all sizes; else
/// a note says why not. Where the lock is of another project file, its own layers count, unless winners are
/// to be written into that file. Errors  invalid_argument: they are; the project has no layer of this name;
///         no_match: no kernel declares the layer that was asked for; and those of `locked_bench_targets` for
/// a kernel that is mapped here.
Result<LayerPlan> plan_layers(const LayerQuestion& question, const std::stop_token& stop);

/// The rows of one contest in a run: those of each candidate on devices of the contest's kind and capability.
bench::ContestRows rows_of(const LayerContest& contest, const bench::Results& results);

/// What became of one mode of a layer on a device.
struct SelectedLayer {
  std::string layer;
  DeviceType device = DeviceType::cpu;
  std::optional<std::uint32_t> capability;
  Mode mode = Mode::fallback;
  std::string mapped;  ///< repository that was mapped
  std::string winner;  ///< repository that is mapped now; empty: the mapping stays
  std::string reason;
  std::optional<bench::Ratio> ratio;  ///< of the winner to what was mapped; none where that is not right
};

/// Who can be written to.
/// Errors  not_found: there is no project file; io: it is read-only; invalid_argument: it maps no layers.
Result<std::filesystem::path> selectable_file(const std::filesystem::path& folder);

/// Puts the winner of each contest for each mode into the project file, with the evidence above it, in one
/// step; the rule is that of `bench::choose`. A candidate may win a mode if it declares the support that the
/// mode needs; for `fallback`, the support that what is mapped declares. `before`: the text of the file when
/// measuring began. Nothing is written where nothing is selected. Errors  as of `selectable_file`;
/// invalid_argument: the file has changed since, or cannot be changed; io. Nothing is written then.
Result<std::vector<SelectedLayer>> select_layers(const std::filesystem::path& file, const std::string& before,
                                                 const std::vector<LayerContest>& contests,
                                                 const bench::Results& results, double threshold);

}  // namespace kernels::ops
