#include "kernels/ops/trust.h"

#include <algorithm>

namespace kernels::ops {

bool names_publisher(const Project& project, const std::string& publisher) {
  const auto& named = project.trust.publishers;
  return std::ranges::find(named, publisher) != named.end();
}

bool trusts_repository(const Project& project, const RepoId& repo) {
  auto says_so = [&](const auto& item) { return item.trust && item.repo == repo; };
  return std::ranges::any_of(project.dependencies, says_so) || std::ranges::any_of(project.layers, says_so);
}

/// A repository that the Hub has renamed has the publisher of its present name, too.
static bool names_any_publisher(const Project& project, const LockedKernel& kernel) {
  if (names_publisher(project, kernel.repo.publisher())) return true;
  auto present = RepoId::parse(kernel.hub_name);
  return present && names_publisher(project, present->publisher());
}

static bool trusts_kernel(const Project& project, const LockedKernel& kernel) {
  if (trusts_repository(project, kernel.repo)) return true;
  return kernel.asked_for && kernel.asked_for->publisher() == kernel.repo.publisher() &&
         trusts_repository(project, *kernel.asked_for);
}

static TrustJudgement no_longer(const LockedKernel& kernel, const std::string& what) {
  return {.holds = false,
          .text = "the lock trusts `" + kernel.repo.publisher() + "`, the publisher of `" +
                  kernel.repo.str() + "`, because " + what + ", and the project no longer says so",
          .hint = "say it again in the project file if you trust this publisher, or run `kernels lock`"};
}

/// A file that is there for other reasons, such as a `pyproject.toml` without kernels, has no opinion.
static bool is_about_kernels(const Project& project) {
  return project.has_dependencies_table || !project.layers.empty();
}

TrustJudgement judge_trust(const LockedKernel& kernel, const Project* project) {
  auto publisher = "`" + kernel.repo.publisher() + "`";
  bool holds = project == nullptr || !is_about_kernels(*project) || kernel.trust == TrustSource::hub ||
               names_any_publisher(*project, kernel) || trusts_kernel(*project, kernel);
  switch (kernel.trust) {
    case TrustSource::hub:
      return {.holds = true,
              .text = "the Hub marked " + publisher + " as a trusted publisher when it was locked",
              .hint = {}};
    case TrustSource::project:
      if (!holds) return no_longer(kernel, "`[trust] publishers` named it");
      return {.holds = true, .text = "the project names " + publisher + " below `[trust]`", .hint = {}};
    case TrustSource::dependency:
      break;
  }
  if (!holds) return no_longer(kernel, "the dependency had `trust = true`");
  return {
      .holds = true,
      .text = "the project has `trust = true` at this dependency; the Hub was not asked about " + publisher,
      .hint = {}};
}

Status check_trust(const Lock& lock, const Project* project) {
  for (const auto& kernel : lock.kernels)
    if (auto judged = judge_trust(kernel, project); !judged.holds)
      return fail(Error(Errc::untrusted, judged.text).with_hint(judged.hint));
  return {};
}

}  // namespace kernels::ops
