#include <algorithm>
#include <set>

#include "kernels/base/file.h"
#include "kernels/hub/api.h"
#include "kernels/ops/bench.h"
#include "kernels/ops/resolver.h"

#include "listing.h"

// `bench REPO`: a project of one dependency, locked and downloaded, and its benchmark scripts with it.

namespace kernels::ops {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostScript = 16 << 20;

/// The commit with the name that led to it.
Result<Listing> find_revision(const QueryInputs& inputs, const RepoId& repo, const RevisionChoice& choice,
                              const std::stop_token& stop) {
  auto listings = list_revisions(inputs, repo, choice,
                                 {.metadata = inputs.settings.offline ? ListingScope::WithMetadata::asked
                                                                      : ListingScope::WithMetadata::none},
                                 stop);
  if (!listings) return fail(std::move(listings).error());
  if (listings->empty()) return fail(Errc::not_found, "`" + repo.str() + "` has no such revision");
  return std::move(listings->back());
}

Result<Lock> lock_one(const QueryInputs& inputs, const RepoId& repo, const Named& named,
                      const std::stop_token& stop) {
  Project project;
  auto requirement =
      named.version ? Requirement::of_version(*named.version) : Requirement::of_revision(named.name);
  project.dependencies.push_back({.repo = repo, .requirement = std::move(requirement), .where = {}});
  auto resolution = resolve_project(
      {.settings = inputs.settings, .project = project, .upgrade = {}, .user_agent = inputs.user_agent},
      stop);
  if (!resolution) return fail(std::move(resolution).error());
  return std::move(resolution->lock);
}

Result<std::vector<FileEntry>> list_benchmarks(const QueryInputs& inputs, const LockedKernel& kernel,
                                               const std::stop_token& stop) {
  auto client = hub::make_http_client(http_options(inputs.settings, inputs.user_agent));
  hub::Api api(*client, inputs.settings.endpoint, inputs.settings.max_retries);
  std::optional<Result<std::vector<FileEntry>>> files;
  api.benchmark_files(kernel.repo, kernel.commit, [&](auto answer) { files = std::move(answer); });
  auto driven = client->run(stop);
  if (!driven) return fail(std::move(driven).error());
  if (!files) return std::vector<FileEntry>{};
  if (!*files) return fail(std::move(*files).error().while_doing("listing the scripts of a repository"));
  std::erase_if(**files, [](const FileEntry& file) { return file.path.is_bytecode(); });
  for (const auto& file : **files)
    if (!file.path.str().starts_with("benchmarks/"))
      return fail(Errc::integrity, "the listing of `benchmarks/` names `" + file.path.str() + "`");
  return std::move(**files);
}

/// The scripts that are there, as they are in the repository and nothing else: they will be run.
Status check_scripts(const fs::path& snapshot, const std::vector<FileEntry>& files) {
  std::set<std::string> known;
  for (const auto& file : files) {
    auto bytes = read_file(snapshot / file.path.str(), kMostScript);
    if (!bytes) return fail(std::move(bytes).error());
    if (auto right = check_content(file, *bytes); !right) return right;
    known.insert(file.path.str());
  }
  std::error_code code;
  for (fs::recursive_directory_iterator it(snapshot / "benchmarks", code), end; !code && it != end;
       it.increment(code)) {
    const auto path = it->path().lexically_relative(snapshot).string();
    if (!known.contains(path) && (it->is_symlink() || !it->is_directory()) && !path.ends_with(".pyc"))
      return fail(Errc::integrity, "`" + it->path().string() + "` is not a file of the repository");
  }
  return {};
}

const LockedKernel* direct_kernel(const Lock& lock) {
  auto found = std::ranges::find(lock.kernels, true, &LockedKernel::direct);
  return found == lock.kernels.end() ? nullptr : &*found;
}

Result<BenchTarget> target_of(const cache::Layout& layout, const LockFiles& files, const RepoId& repo,
                              const Commit& commit, const Target& target, const std::stop_token& stop) {
  auto targets = locked_bench_targets(layout, files, target, stop);
  if (!targets) return fail(std::move(targets).error());
  for (auto& one : *targets) {
    if (one.kernel != repo.str() || one.commit != commit.str()) continue;
    one.scripts = layout.snapshot(repo, commit);
    return std::move(one);
  }
  return fail(Errc::not_found, "`" + repo.str() + "` is not in its own lock");
}

RevisionChoice choice_of(const KernelDependency& dependency) {
  using Kind = RevisionChoice::Kind;
  const auto* number = std::get_if<std::uint64_t>(&dependency.version);
  if (number != nullptr) return {.kind = Kind::version, .version = *number, .revision = {}};
  return {.kind = Kind::revision, .version = 0, .revision = std::get<std::string>(dependency.version)};
}

/// The kernel and those that it needs, as the cache has them; each once.
Status add_pins(const QueryInputs& inputs, const RepoId& repo, const Listing& listing, LockPins& pins,
                const std::stop_token& stop) {
  for (const auto& pin : pins.pins)
    if (pin.repo == repo) return {};
  pins.pins.push_back(
      {.repo = repo, .requirement = std::nullopt, .commit = listing.commit, .variant_hashes = {}});
  for (const auto& [variant, metadata] : listing.metadata) {
    if (!metadata) continue;
    for (const auto& dependency : metadata->kernel_depends) {
      auto needed = find_revision(inputs, dependency.repo, choice_of(dependency), stop);
      if (!needed)
        return fail(std::move(needed).error().while_doing("looking for what `" + repo.str() + "` needs"));
      if (auto added = add_pins(inputs, dependency.repo, *needed, pins, stop); !added) return added;
    }
  }
  return {};
}

/// Those of the files that are scripts, or belong to them.
std::vector<FileEntry> scripts_among(const std::vector<FileEntry>& files) {
  std::vector<FileEntry> out;
  for (const auto& file : files)
    if (file.path.str().starts_with("benchmarks/")) out.push_back(file);
  return out;
}

Result<BenchTarget> cached_target(const QueryInputs& inputs, const RepoId& repo, const Listing& listing,
                                  const Target& target, const std::stop_token& stop) {
  cache::Layout layout(inputs.settings.cache, inputs.settings.state);
  const auto scripts = scripts_among(listing.files);
  if (auto right = check_scripts(layout.snapshot(repo, listing.commit), scripts); !right)
    return fail(std::move(right).error());
  LockFiles files{.folder = {}, .lock_text = {}, .pins = {}, .sum = std::nullopt};
  if (auto pinned = add_pins(inputs, repo, listing, files.pins, stop); !pinned)
    return fail(std::move(pinned).error());
  return target_of(layout, files, repo, listing.commit, target, stop);
}

}  // namespace

Result<BenchTarget> repository_bench_target(const BenchRepository& request, const RepoId& repo,
                                            const RevisionChoice& choice, const Target& target,
                                            const EventSink& events, const std::stop_token& stop) {
  const auto& settings = request.inputs.settings;
  cache::Layout layout(settings.cache, settings.state);
  auto listing = find_revision(request.inputs, repo, choice, stop);
  if (!listing) return fail(std::move(listing).error());
  if (settings.offline) return cached_target(request.inputs, repo, *listing, target, stop);
  auto lock = lock_one(request.inputs, repo, listing->named, stop);
  if (!lock) return fail(std::move(lock).error());
  const auto* kernel = direct_kernel(*lock);
  if (kernel == nullptr) return fail(Errc::not_found, "`" + repo.str() + "` cannot be locked");
  auto scripts = list_benchmarks(request.inputs, *kernel, stop);
  if (!scripts) return fail(std::move(scripts).error());
  auto plan = plan_download(layout, choose_variants(*lock, {.targets = {target}, .names = {}}));
  add_to_plan(layout, *kernel, *scripts, plan);
  auto downloaded = download(layout, plan,
                             {.settings = settings,
                              .user_agent = request.inputs.user_agent,
                              .links = request.links,
                              .signatures = request.signatures},
                             events, stop);
  if (!downloaded) return fail(std::move(downloaded).error());
  if (auto right = check_scripts(layout.snapshot(kernel->repo, kernel->commit), *scripts); !right)
    return fail(std::move(right).error());
  const auto place = kernel->repo;
  const auto commit = kernel->commit;
  LockFiles files{.folder = {}, .lock_text = {}, .pins = {}, .sum = std::move(*lock)};
  return target_of(layout, files, place, commit, target, stop);
}

/// Brings the scripts of a kernel whose variant is there. Errors  as of `download`.
static Result<std::vector<FileEntry>> fetch_scripts(const BenchRepository& request,
                                                    const cache::Layout& layout, const LockedKernel& kernel,
                                                    const EventSink& events, const std::stop_token& stop) {
  const auto& settings = request.inputs.settings;
  if (settings.offline) {
    auto files = cache::list_snapshot_files(layout, kernel.repo, kernel.commit);
    if (!files) return files;
    return scripts_among(*files);
  }
  auto scripts = list_benchmarks(request.inputs, kernel, stop);
  if (!scripts || scripts->empty()) return scripts;
  DownloadPlan plan;
  plan.kernels.push_back({.kernel = &kernel, .files = {}});
  add_to_plan(layout, kernel, *scripts, plan);
  auto downloaded = download(layout, plan,
                             {.settings = settings,
                              .user_agent = request.inputs.user_agent,
                              .links = request.links,
                              .signatures = request.signatures},
                             events, stop);
  if (!downloaded) return fail(std::move(downloaded).error());
  return scripts;
}

Status add_scripts(const BenchRepository& request, BenchTarget& target, const EventSink& events,
                   const std::stop_token& stop) {
  auto repo = RepoId::parse(target.kernel);
  auto commit = Commit::parse(target.commit);
  if (!repo || !commit) return {};
  const LockedKernel kernel{.repo = *repo,
                            .requirement = Requirement::of_revision(target.commit),
                            .commit = *commit,
                            .ref = target.commit,
                            .asked_for = std::nullopt,
                            .hub_name = {},
                            .variants = {}};
  const auto& settings = request.inputs.settings;
  const cache::Layout layout(settings.cache, settings.state);
  auto scripts = fetch_scripts(request, layout, kernel, events, stop);
  if (!scripts)
    return fail(std::move(scripts).error().while_doing("fetching the scripts of `" + target.kernel + "`"));
  if (scripts->empty()) return {};
  const auto snapshot = layout.snapshot(*repo, *commit);
  if (auto right = check_scripts(snapshot, *scripts); !right) return right;
  target.scripts = snapshot;
  return {};
}

}  // namespace kernels::ops
