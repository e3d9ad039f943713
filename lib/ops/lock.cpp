#include "kernels/ops/lock.h"

#include <algorithm>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/base/nearest.h"
#include "kernels/ops/coverage.h"

#include "listing.h"

namespace kernels::ops {

Result<Target> find_target(const Project& project, const std::string& text) {
  if (auto found = project.targets.find(text); found != project.targets.end()) return found->second;
  if (text.find('=') != std::string::npos) return parse_target(text);
  std::vector<std::string> names;
  std::string all;
  for (const auto& [name, target] : project.targets) {
    names.push_back(name);
    all += (all.empty() ? "`" : ", `") + name + "`";
  }
  auto guess = nearest(text, names);
  return fail(Error(Errc::invalid_argument, "the project has no target `" + text + "`")
                  .with_hint(guess ? "did you mean `" + *guess + "`?"
                             : all.empty()
                                 ? "describe it, for example `os=linux,cpu=x86_64,torch=2.11,cuda=13.0`"
                                 : "its targets are " + all));
}

static Result<std::vector<Target>> targets_of(const Project& project, const LockRequest& request) {
  std::vector<Target> out;
  for (const auto& name : request.target_names) {
    auto target = find_target(project, name);
    if (!target) return fail(std::move(target).error());
    out.push_back(std::move(*target));
  }
  if (!request.all_targets) return out;
  if (project.targets.empty())
    return fail(Error(Errc::invalid_argument, "`" + project.file + "` has no targets")
                    .with_hint("describe machines in tables such as `[targets.prod]`"));
  for (const auto& [name, target] : project.targets)
    out.push_back(target);
  return out;
}

static std::vector<Variant> variants_of(const resolve::VersionVariants& version) {
  std::vector<Variant> out;
  for (const auto& build : version.variants)
    out.push_back(build.variant);
  return out;
}

static std::vector<TargetGap> gaps_of(const LockedKernel& kernel, const std::vector<Target>& targets) {
  std::vector<TargetGap> out;
  auto version = locked_variants(kernel);
  for (const auto& target : targets) {
    TargetGap gap{.target = target.name,
                  .repo = kernel.repo,
                  .decisions = resolve::decide(variants_of(version), target),
                  .uncovered = {},
                  .advice = {}};
    bool fits = !gap.decisions.empty() && gap.decisions.front().accepted();
    if (fits) {
      auto chosen = std::ranges::find(version.variants, gap.decisions.front().variant,
                                      &resolve::DeclaredVariant::variant);
      gap.uncovered = resolve::uncovered_capabilities(*chosen, target);
    }
    if (!fits || !gap.uncovered.empty()) out.push_back(std::move(gap));
  }
  return out;
}

namespace {
struct KnownVersions {
  std::vector<resolve::VersionVariants> versions;  // by number
  std::size_t locked = 0;
};
}  // namespace

/// The locked variants and, where the Hub tells them, those of the other versions.
static KnownVersions all_versions(const LockedKernel& kernel, const LockRequest& request,
                                  const std::stop_token& stop) {
  KnownVersions out{.versions = {locked_variants(kernel)}, .locked = 0};
  auto number = out.versions.front().version;
  auto listings =
      list_revisions({.settings = request.settings, .user_agent = request.user_agent}, kernel.repo,
                     {.kind = RevisionChoice::Kind::all_versions, .version = 0, .revision = {}},
                     {.metadata = ListingScope::WithMetadata::all}, stop);
  if (!listings) {
    // The gap is what people must hear about, and it is known without the others.
    log(LogLevel::info, describe(listings.error()));
    return out;
  }
  for (const auto& listing : *listings) {
    if (!listing.named.version || listing.named.version == number) continue;
    if (number && listing.named.version < number)
      out.versions.insert(out.versions.begin() + static_cast<std::ptrdiff_t>(out.locked++),
                          declared_variants(listing));
    else
      out.versions.push_back(declared_variants(listing));
  }
  return out;
}

static std::vector<TargetGap> find_gaps(const Lock& lock, const std::vector<Target>& targets,
                                        const LockRequest& request, const std::stop_token& stop) {
  std::vector<TargetGap> out;
  for (const auto& kernel : lock.kernels) {
    auto gaps = gaps_of(kernel, targets);
    if (gaps.empty()) continue;
    auto known = all_versions(kernel, request, stop);
    for (auto& gap : gaps) {
      auto target = std::ranges::find(targets, gap.target, &Target::name);
      gap.advice = resolve::nearest_changes(known.versions, known.locked, *target);
      out.push_back(std::move(gap));
    }
  }
  return out;
}

/// The v1 form names a kernel by its repository alone.
static Status check_form(const Lock& lock, LockForm form) {
  std::set<RepoId> seen;
  for (const auto& kernel : lock.kernels)
    if (form == LockForm::v1 && kernel.direct && !seen.insert(kernel.repo).second)
      return fail(Error(Errc::invalid_argument,
                        "the v1 form of `kernels.lock` cannot hold `" + kernel.repo.str() + "` twice")
                      .with_hint("use `--lock-format v2`, or ask for one version of it"));
  return {};
}

/// Whether the files on disk are what would be written.
static bool files_match(const std::filesystem::path& folder, const Lock& lock, LockForm form) {
  auto text = render_lock(lock, form);
  auto on_disk = read_file(folder / "kernels.lock");
  auto sum = read_file(folder / "kernels.sum", 256 << 20);
  return on_disk && *on_disk == text && sum && *sum == render_sum(lock, text);
}

/// Damaged files must not keep anybody from writing good ones; a hint says that they were there.
static std::optional<LockFiles> previous_files(const LockRequest& request, LockReport& report) {
  auto files = load_lock_files(request.folder);
  if (files) return std::move(*files);
  report.warnings.push_back("the present lock files are not used: " + files.error().text());
  return std::nullopt;
}

Result<LockReport> lock_project(const LockRequest& request, const std::stop_token& stop) {
  auto project = load_project(request.folder);
  if (!project) return fail(std::move(project).error());
  auto targets = targets_of(*project, request);
  if (!targets) return fail(std::move(targets).error());
  LockReport report;
  auto previous = previous_files(request, report);
  auto resolution = resolve_project({.settings = request.settings,
                                     .project = *project,
                                     .previous = previous ? &*previous : nullptr,
                                     .upgrade = request.upgrade,
                                     .locked_only = false,
                                     .user_agent = request.user_agent},
                                    stop);
  if (!resolution) return fail(std::move(resolution).error());
  report.lock = std::move(resolution->lock);
  report.counters = resolution->counters;
  report.warnings.insert(report.warnings.end(), resolution->warnings.begin(), resolution->warnings.end());
  report.form = request.form.value_or(previous ? previous->pins.form : LockForm::v2);
  if (auto fits = check_form(report.lock, report.form); !fits) return fail(std::move(fits).error());
  report.gaps = find_gaps(report.lock, *targets, request, stop);
  report.changed = !files_match(request.folder, report.lock, report.form);
  report.changes = diff_locks(previous && previous->sum ? *previous->sum : Lock{}, report.lock);
  bool write = request.write == WriteLock::yes && report.changed && report.gaps.empty();
  if (!write) return report;
  if (auto written = write_lock_files(request.folder, report.lock, report.form); !written)
    return fail(std::move(written).error());
  return report;
}

}  // namespace kernels::ops
