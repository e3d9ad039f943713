#include "bench_layers.h"

#include <algorithm>

#include "kernels/base/file.h"

#include "text.h"

namespace kernels::app {

namespace {

std::optional<std::uint32_t> capability_of(const Device& device, const Target& machine) {
  auto index = static_cast<std::size_t>(device.index);
  if (device.kind != runtime::DeviceKind::cuda || index >= machine.capabilities.size()) return std::nullopt;
  const auto& capability = machine.capabilities[index];
  return 10 * capability.major + capability.minor;
}

DeviceType device_type(const Device& device) {
  return device.kind == runtime::DeviceKind::cuda ? DeviceType::cuda : DeviceType::cpu;
}

/// A `pyproject.toml` that says nothing of kernels is no project of them.
Result<std::optional<Project>> own_project(const std::filesystem::path& folder) {
  auto project = ops::find_project(folder);
  if (project && *project && !(*project)->has_dependencies_table && (*project)->layers.empty())
    return std::nullopt;
  return project;
}

/// Devices of one capability are one contest to those who look at all rows.
void keep(std::vector<ops::LayerContest>& contests, ops::LayerContest contest) {
  auto is_same = [&](const auto& other) {
    return other.layer == contest.layer && other.capability == contest.capability;
  };
  if (std::ranges::none_of(contests, is_same)) contests.push_back(std::move(contest));
}

/// Measures one contest; its rows go to a subject for each candidate.
Status measure_contest(const ops::LayerContest& contest, const bench::BenchOptions& options,
                       bench::Results& results, App& app) {
  std::vector<bench::Contender> contenders;
  for (const auto& candidate : contest.candidates)
    contenders.push_back(candidate.contender);
  auto progress = [&](const bench::BenchProgress& step) {
    app.out().show_step(contest.layer + " " + std::to_string(step.done + 1) + "/" +
                        std::to_string(step.total) + "  " + step.what);
  };
  auto reports = bench::bench_contest(contenders, options, progress, app.stop_token());
  if (!reports)
    return fail(std::move(reports).error().while_doing("measuring the layer `" + contest.layer + "`"));
  for (std::size_t i = 0; i < reports->size(); ++i) {
    if ((*reports)[i].rows.empty()) continue;
    auto added =
        add_report(results, contest.candidates[i].target, contest.layer, std::move((*reports)[i]), options);
    if (!added) return added;
  }
  return {};
}

}  // namespace

Result<SelectionFile> open_selection(const std::filesystem::path& folder) {
  auto file = ops::selectable_file(folder);
  if (!file) return fail(std::move(file).error());
  auto text = read_file(*file);
  if (!text) return fail(std::move(text).error());
  return SelectionFile{.file = std::move(*file), .text = std::move(*text)};
}

Result<MeasuredLayers> measure_project(const ops::LockFiles& files, const Target& machine,
                                       const std::vector<Device>& devices, const LayerWishes& wishes,
                                       bench::BenchOptions options, App& app) {
  auto settings = app.settings();
  if (!settings) return fail(std::move(settings).error());
  auto project = own_project(files.folder);
  if (!project) return fail(std::move(project).error());
  cache::Layout layout(settings->cache, settings->state);
  MeasuredLayers out{.results = empty_results(options, app), .contests = {}};
  for (const auto& device : devices) {
    options.device = device.kind;
    options.device_index = device.index;
    auto plan = ops::plan_layers({.layout = layout,
                                  .files = files,
                                  .project = *project ? &**project : nullptr,
                                  .target = machine,
                                  .device = device_type(device),
                                  .capability = capability_of(device, machine),
                                  .will_select = wishes.will_select,
                                  .layer = wishes.layer,
                                  .options = options},
                                 app.stop_token());
    if (!plan) return fail(std::move(plan).error());
    for (const auto& note : plan->notes)
      app.out().warning(note);
    if (plan->contests.empty() && plan->others.empty())
      return fail(Errc::no_match, "no layer, function, workload and data type pass the filters");
    for (auto& contest : plan->contests) {
      if (auto done = measure_contest(contest, options, out.results, app); !done)
        return fail(std::move(done).error());
      keep(out.contests, std::move(contest));
      if (app.stop_token().stop_requested()) return out;
    }
    auto others = measure_targets(plan->others, {device}, options, app);
    if (!others) return fail(std::move(others).error());
    append(out.results, std::move(*others));
  }
  return out;
}

}  // namespace kernels::app
