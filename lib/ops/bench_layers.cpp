#include "kernels/ops/bench_layers.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "kernels/base/file.h"
#include "kernels/base/nearest.h"
#include "kernels/model/project_edit.h"

#include "bench_ready.h"

namespace kernels::ops {

namespace {

/// A kernel of the lock, by the name of one of its layers.
struct NamedKernel {
  std::size_t kernel;
  std::string layer;
  RepoId repo;
  Requirement requirement;
  bool trust = false;
  bool is_row = false;  ///< a row of the mapping names it, not only a dependency
  bool is_mapped_here = false;
};

Error stale_lock(const Project& project) {
  return Error(Errc::invalid_argument, "`kernels.sum` has other layers than `" + project.file + "`")
      .with_hint("run `kernels lock`");
}

/// The project's rows, each with the locked one: they stand in the same order.
Status match_rows(const Project& project, const Lock& lock) {
  auto is_at = [&](const RepoId& asked, const LockedLayer& locked) {
    return asked == locked.repo || std::ranges::any_of(lock.kernels, [&](const LockedKernel& kernel) {
             return kernel.asked_for == asked && kernel.repo == locked.repo && kernel.commit == locked.commit;
           });
  };
  auto is_same = [&](const ProjectLayer& row, const LockedLayer& locked) {
    return is_at(row.repo, locked) && row.layer == locked.layer && row.device == locked.device &&
           row.mode == locked.mode && row.capabilities == locked.capabilities &&
           row.kernel_layer == locked.kernel_layer;
  };
  if (!std::ranges::equal(project.layers, lock.layers, is_same)) return fail(stale_lock(project));
  return {};
}

/// A lock without its project: its layers as a project would have them.
Project project_of(const Lock& lock) {
  Project out;
  out.file = "kernels.sum";
  for (const auto& row : lock.layers)
    out.layers.push_back({.layer = row.layer,
                          .device = row.device,
                          .mode = row.mode,
                          .capabilities = row.capabilities,
                          .repo = row.repo,
                          .kernel_layer = row.kernel_layer,
                          .requirement = Requirement::of_revision(row.commit.str()),
                          .trust = false,
                          .where = {}});
  for (const auto& kernel : lock.kernels)
    if (kernel.direct)
      out.dependencies.push_back({.repo = kernel.asked_for.value_or(kernel.repo),
                                  .requirement = kernel.requirement,
                                  .trust = false,
                                  .where = {}});
  return out;
}

class Planner {
 public:
  Planner(const LayerQuestion& question, const Project& project, std::vector<ReadyKernel> kernels)
      : question_(question), project_(project), lock_(*question.files.sum), kernels_(std::move(kernels)) {}

  Result<LayerPlan> plan() {
    for (const auto& layer : names()) {
      auto done = plan_one(layer);
      if (!done) return fail(std::move(done).error());
    }
    if (question_.layer.empty())
      if (auto done = take_others(); !done) return fail(std::move(done).error());
    return std::move(plan_);
  }

 private:
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& row : project_.layers)
      if (std::ranges::find(out, row.layer) == out.end() &&
          (question_.layer.empty() || row.layer == question_.layer))
        out.push_back(row.layer);
    return out;
  }

  std::size_t index_of(const ProjectLayer& row) const {
    return static_cast<std::size_t>(&row - project_.layers.data());
  }

  std::optional<std::size_t> kernel_of(const LockedLayer& row) const {
    for (std::size_t i = 0; i < lock_.kernels.size(); ++i)
      if (lock_.kernels[i].repo == row.repo && lock_.kernels[i].commit == row.commit) return i;
    return std::nullopt;
  }

  void add(std::vector<NamedKernel>& out, NamedKernel named) const {
    auto is_same = [&](const NamedKernel& other) {
      return other.kernel == named.kernel && other.layer == named.layer;
    };
    if (std::ranges::none_of(out, is_same)) out.push_back(std::move(named));
  }

  void add_row(std::vector<NamedKernel>& out, const ProjectLayer& row, bool is_here) const {
    if (auto kernel = kernel_of(lock_.layers[index_of(row)]))
      add(out, {.kernel = *kernel,
                .layer = row.kernel_layer,
                .repo = row.repo,
                .requirement = row.requirement,
                .trust = row.trust,
                .is_row = true,
                .is_mapped_here = is_here});
  }

  /// Rows for the device, those that count here first; then what else the project names.
  std::vector<NamedKernel> named_for(const std::string& layer,
                                     const std::vector<const ProjectLayer*>& here) const {
    std::vector<NamedKernel> out;
    std::set<std::string> kernel_layers = {layer};
    for (const auto* row : here) {
      add_row(out, *row, true);
      kernel_layers.insert(row->kernel_layer);
    }
    for (const auto& row : project_.layers)
      if (row.layer == layer && row.device == question_.device) add_row(out, row, false);
    for (const auto& dependency : project_.dependencies)
      for (std::size_t i = 0; i < lock_.kernels.size(); ++i) {
        const auto& kernel = lock_.kernels[i];
        if (kernel.asked_for.value_or(kernel.repo) != dependency.repo ||
            kernel.requirement != dependency.requirement)
          continue;
        for (const auto& name : kernel_layers)
          add(out, {.kernel = i,
                    .layer = name,
                    .repo = dependency.repo,
                    .requirement = dependency.requirement,
                    .trust = dependency.trust});
      }
    return out;
  }

  void note(const std::string& layer, const NamedKernel& named, const std::string& why) {
    plan_.notes.push_back("`" + named.repo.str() + "` is not measured for the layer `" + layer + "`: " + why);
  }

  /// The candidate, or why there is none; an empty text where the kernel has no such layer at all.
  std::expected<LayerCandidate, std::string> candidate_of(const NamedKernel& named) const {
    const auto& target = *kernels_[named.kernel].target;
    constexpr std::uint64_t kMostText = std::uint64_t{1} << 20U;
    auto text = read_file(target.folder / "layers.toml", kMostText);
    if (!text) return std::unexpected("it has no layers.toml, which says what function to call");
    auto layers = parse_native_layers(*text, "layers.toml of `" + target.kernel + "`");
    if (!layers) return std::unexpected(layers.error().text());
    const auto* layer = layers->find(named.layer);
    if (layer == nullptr) return std::unexpected("its layers.toml has no layer `" + named.layer + "`");
    auto measurable = bench::open_measurable(target.folder);
    if (!measurable) return std::unexpected(measurable.error().text());
    const auto* function = measurable->find(layer->function);
    if (function == nullptr)
      return std::unexpected("its workloads.toml has no function `" + layer->function + "`");
    LayerCandidate out{.target = target,
                       .contender = {.name = target.kernel,
                                     .library = measurable->library,
                                     .function = *function,
                                     .probes = probes_of(*measurable, *function),
                                     .workloads = {}},
                       .serves = *layer,
                       .repo = named.repo,
                       .requirement = named.requirement,
                       .trust = named.trust};
    for (auto& workload : measurable->file.workloads)
      if (workload.functions.empty() || std::ranges::count(workload.functions, function->name) > 0)
        out.contender.workloads.push_back(std::move(workload));
    return out;
  }

  /// Those that have the sizes of this function: a file may hold functions of several kinds.
  static std::vector<bench::Sizes> probes_of(const bench::Measurable& measurable,
                                             const bench::FunctionSpec& function) {
    auto has_all = [&](const bench::Sizes& sizes) {
      for (const auto& argument : function.arguments)
        for (const auto& product : argument.shape)
          for (const auto& name : product.names)
            if (!sizes.contains(name)) return false;
      return true;
    };
    std::vector<bench::Sizes> out;
    std::ranges::copy_if(measurable.file.probes, std::back_inserter(out), has_all);
    return out;
  }

  Status plan_one(const std::string& layer) {
    auto here = rows_in_effect(project_, layer, question_.device, question_.capability);
    if (here.empty()) {
      if (question_.layer.empty()) return {};
      return fail(Errc::no_match,
                  "the layer `" + layer + "` is not mapped for " + to_string(question_.device) +
                      (question_.capability ? " " + std::to_string(*question_.capability / 10) + "." +
                                                  std::to_string(*question_.capability % 10)
                                            : ""));
    }
    LayerContest contest{.layer = layer,
                         .device = question_.device,
                         .capability = question_.capability,
                         .candidates = {},
                         .slots = {}};
    std::vector<std::pair<std::size_t, std::string>> members;
    std::string first_reason;
    for (const auto& named : named_for(layer, here)) {
      const auto& kernel = kernels_[named.kernel];
      if (!kernel.target) {
        if (named.is_mapped_here) return fail(*kernel.problem);
        if (named.is_row) note(layer, named, kernel.problem->text());
        continue;
      }
      auto candidate = candidate_of(named);
      const auto& function = question_.options.function;
      if (candidate && !function.empty() && candidate->serves.function != function) continue;
      if (candidate) {
        contest.candidates.push_back(std::move(*candidate));
        members.emplace_back(named.kernel, named.layer);
      } else if (named.is_row) {
        note(layer, named, candidate.error());
        if (first_reason.empty()) first_reason = candidate.error();
      }
    }
    if (contest.candidates.empty()) {
      if (question_.layer.empty()) return {};
      return fail(Errc::no_match,
                  "no kernel of the project can be measured for the layer `" + layer + "`: " + first_reason);
    }
    return enter(std::move(contest), std::move(members), here);
  }

  /// Gives every candidate the shapes, leaves out those that do not fit, and says which modes there are.
  Status enter(LayerContest contest, std::vector<std::pair<std::size_t, std::string>> members,
               const std::vector<const ProjectLayer*>& here) {
    auto shapes = shapes_for(contest);
    std::vector<LayerCandidate> fit;
    std::vector<std::pair<std::size_t, std::string>> fitting;
    for (std::size_t i = 0; i < contest.candidates.size(); ++i) {
      auto& candidate = contest.candidates[i];
      auto why = give(candidate, shapes);
      if (why.empty() && !fit.empty())
        why = bench::mismatch(serving(candidate), candidate.contender.workloads, serving(fit.front()),
                              fit.front().contender.workloads);
      if (!why.empty()) {
        plan_.notes.push_back("`" + candidate.repo.str() + "` is not measured for the layer `" +
                              contest.layer + "`: " + why);
        continue;
      }
      fit.push_back(std::move(candidate));
      fitting.push_back(members[i]);
    }
    if (fit.empty()) {
      if (question_.layer.empty()) return {};
      return fail(Errc::no_match, plan_.notes.back());
    }
    contest.candidates = std::move(fit);
    for (const auto* row : here) {
      std::pair wanted{kernel_of(lock_.layers[index_of(*row)]).value_or(lock_.kernels.size()),
                       row->kernel_layer};
      auto found = std::ranges::find(fitting, wanted);
      LayerSlot slot{.mode = row->mode, .mapped = row->repo.str(), .candidate = std::nullopt};
      if (found != fitting.end()) slot.candidate = static_cast<std::size_t>(found - fitting.begin());
      contest.slots.push_back(std::move(slot));
    }
    for (const auto& member : fitting)
      serving_.insert(member.first);
    bool is_empty = std::ranges::all_of(
        contest.candidates, [](const auto& candidate) { return candidate.contender.workloads.empty(); });
    const auto& options = question_.options;
    if (is_empty && (!options.workload.empty() || options.by_hand)) return {};
    plan_.contests.push_back(std::move(contest));
    return {};
  }

  static bench::ServingFunction serving(const LayerCandidate& candidate) {
    return {.name = "`" + candidate.repo.str() + "`",
            .layer = &candidate.serves,
            .function = &candidate.contender.function};
  }

  struct Shapes {
    std::vector<bench::Workload> workloads;
    bool is_of_kernel = false;  ///< where a workload may have sizes of other functions too
  };

  /// By hand, of the project, or of the first candidate that has any.
  Shapes shapes_for(const LayerContest& contest) const {
    const auto& options = question_.options;
    Shapes shapes;
    auto& out = shapes.workloads;
    if (options.by_hand) {
      out.push_back({.name = "by-hand",
                     .origin = "the command line",
                     .sizes = options.by_hand->sizes,
                     .dtypes = {},
                     .functions = {}});
      if (options.by_hand->dtype) out.back().dtypes = {*options.by_hand->dtype};
      return shapes;
    }
    bool has_own = false;
    for (const auto& shape : project_.shapes) {
      if (shape.layer != contest.layer) continue;
      has_own = true;
      auto& workload = out.emplace_back();
      workload.name = shape.name;
      workload.origin = shape.where.str();
      workload.sizes = shape.sizes;
      for (const auto& dtype : shape.dtypes)
        if (auto known = bench::dtype_from_text(dtype)) workload.dtypes.push_back(*known);
    }
    shapes.is_of_kernel = !has_own;
    for (const auto& candidate : contest.candidates)
      if (!has_own && out.empty()) out = candidate.contender.workloads;
    std::erase_if(
        out, [&](const auto& workload) { return workload.name.find(options.workload) == std::string::npos; });
    return shapes;
  }

  static bool uses(const bench::FunctionSpec& function, const std::string& size) {
    return std::ranges::any_of(function.arguments, [&](const auto& argument) {
      return std::ranges::any_of(argument.shape, [&](const auto& product) {
        return std::ranges::find(product.names, size) != product.names.end();
      });
    });
  }

  /// The shapes, as the candidate's function names its sizes; or why it cannot be called with them.
  static std::string give(LayerCandidate& candidate, const Shapes& shapes) {
    auto& contender = candidate.contender;
    contender.workloads.clear();
    bench::WorkloadFile file{.functions = {contender.function}, .probes = {}, .workloads = {}};
    for (const auto& shape : shapes.workloads) {
      auto sizes = shape.sizes;
      if (shapes.is_of_kernel)
        std::erase_if(sizes, [&](const auto& size) { return !uses(contender.function, size.first); });
      auto workload = bench::to_workload({.sizes = std::move(sizes), .dtype = {}}, file);
      if (!workload)
        return "the sizes do not correspond: " + workload.error().text() + "; " + workload.error().hint();
      workload->name = shape.name;
      workload->origin = shape.origin;
      if (!shape.dtypes.empty())
        std::erase_if(workload->dtypes,
                      [&](auto dtype) { return std::ranges::count(shape.dtypes, dtype) == 0; });
      contender.workloads.push_back(std::move(*workload));
    }
    return {};
  }

  /// What serves no layer is measured as such; what serves one on other devices only need not be here.
  Status take_others() {
    for (std::size_t i = 0; i < kernels_.size(); ++i) {
      if (serving_.contains(i)) continue;
      auto& kernel = kernels_[i];
      if (kernel.target) {
        plan_.others.push_back(*kernel.target);
        continue;
      }
      bool is_mapped =
          std::ranges::any_of(lock_.layers, [&](const auto& row) { return kernel_of(row) == i; });
      if (!is_mapped) return fail(*kernel.problem);
      plan_.notes.push_back(kernel.problem->text());
    }
    return {};
  }

  const LayerQuestion& question_;
  const Project& project_;
  const Lock& lock_;
  std::vector<ReadyKernel> kernels_;
  std::set<std::size_t> serving_;
  LayerPlan plan_;
};

}  // namespace

Result<LayerPlan> plan_layers(const LayerQuestion& question, const std::stop_token& stop) {
  const auto& lock = *question.files.sum;
  auto own = project_of(lock);
  std::vector<std::string> notes;
  if (question.project != nullptr) {
    auto matched = match_rows(*question.project, lock);
    if (!matched && question.will_select) return fail(std::move(matched).error());
    if (matched)
      own = *question.project;
    else
      notes.push_back(matched.error().text() +
                      ": those of the lock are measured; `kernels lock` makes it follow");
    own.shapes = question.project->shapes;
  }
  std::vector<std::string> names;
  for (const auto& row : own.layers)
    names.push_back(row.layer);
  if (!question.layer.empty() && std::ranges::find(names, question.layer) == names.end()) {
    auto guess = nearest(question.layer, names);
    return fail(Error(Errc::invalid_argument, "the project maps no layer `" + question.layer + "`")
                    .with_hint(guess ? "did you mean `" + *guess + "`?" : ""));
  }
  auto kernels = ready_kernels(question.layout, question.files, question.target, stop);
  if (!kernels) return fail(std::move(kernels).error());
  auto plan = Planner(question, own, std::move(*kernels)).plan();
  if (plan) plan->notes.insert(plan->notes.begin(), notes.begin(), notes.end());
  return plan;
}

}  // namespace kernels::ops
