#include "bench_repository.h"

#include "trust_flags.h"

namespace kernels::app {

namespace {

/// `v1` and `1` are versions, all else a revision: the Python program takes the first and refuses the second.
bool is_version(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<std::optional<std::pair<RepoId, ops::RevisionChoice>>> parse_repository(const std::string& text,
                                                                               const RevisionFlags& flags) {
  const auto at = text.find('@');
  auto repo = RepoId::parse(text.substr(0, at));
  if (!repo) return std::nullopt;
  auto wanted = flags;
  if (at != std::string::npos) {
    const auto revision = text.substr(at + 1);
    if (flags.any())
      return fail(Error(Errc::invalid_argument, "`" + text + "` and an option both say which revision")
                      .with_hint("leave out one of them"));
    if (is_version(revision))
      wanted.version = revision.substr(revision.starts_with('v') ? 1 : 0);
    else
      wanted.revision = revision;
  }
  auto choice = to_choice(wanted);
  if (!choice) return fail(std::move(choice).error().while_doing("reading `" + text + "`"));
  return std::pair(std::move(*repo), std::move(*choice));
}

static Result<ops::BenchRepository> to_request(const hub::Settings& settings, const App& app) {
  auto rules = signature_rules({}, {});
  if (!rules) return fail(std::move(rules).error());
  return ops::BenchRepository{.inputs = {.settings = settings, .user_agent = app.user_agent()},
                              .signatures = *rules,
                              .links = settings.use_symlinks ? cache::Links::symlinks : cache::Links::copies};
}

Result<ops::BenchTarget> find_repository(const std::pair<RepoId, ops::RevisionChoice>& repository,
                                         const Target& target, const hub::Settings& settings, App& app) {
  auto request = to_request(settings, app);
  if (!request) return fail(std::move(request).error());
  return ops::repository_bench_target(*request, repository.first, repository.second, target, app.events(),
                                      app.stop_token());
}

Result<std::vector<ops::BenchTarget>> find_locked(const ops::LockFiles& files, const Target& target,
                                                  const hub::Settings& settings, App& app) {
  auto targets = ops::locked_bench_targets(cache::Layout(settings.cache, settings.state), files, target,
                                           app.stop_token());
  if (!targets) return targets;
  auto request = to_request(settings, app);
  if (!request) return fail(std::move(request).error());
  for (auto& one : *targets) {
    std::error_code code;
    if (std::filesystem::exists(one.folder / "workloads.toml", code)) continue;
    if (auto added = ops::add_scripts(*request, one, app.events(), app.stop_token()); !added)
      return fail(std::move(added).error());
  }
  return targets;
}

}  // namespace kernels::app
