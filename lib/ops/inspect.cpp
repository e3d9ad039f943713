#include "kernels/ops/inspect.h"

#include <algorithm>

#include "kernels/base/joined.h"
#include "kernels/cache/layout.h"
#include "kernels/cache/snapshot.h"
#include "kernels/resolve/variants.h"

#include "inspect_variant.h"
#include "listing.h"
#include "variant_content.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

WithFunctions with(const InspectChoice& choice) {
  return choice.functions ? WithFunctions::yes : WithFunctions::no;
}

/// The names to look into, and those that are left out.
Result<std::vector<std::string>> chosen_names(const std::vector<std::string>& names,
                                              const InspectChoice& choice, const Target* target) {
  for (const auto& name : choice.variants)
    if (std::ranges::find(names, name) == names.end())
      return fail(Error(Errc::no_match, "there is no variant `" + name + "`")
                      .with_hint("there are: " + (names.empty() ? "none" : joined(names))));
  if (!choice.variants.empty()) return choice.variants;
  if (choice.all_variants || target == nullptr) return names;
  auto decisions = resolve::decide(resolve::parse_variant_names(names).valid, *target);
  if (decisions.empty() || !decisions.front().accepted()) return names;
  return std::vector{decisions.front().variant.name()};
}

void note_left_out(const std::vector<std::string>& all, const std::vector<std::string>& chosen,
                   InspectReport& report) {
  for (const auto& name : all)
    if (std::ranges::find(chosen, name) == chosen.end()) report.left_out.push_back(name);
}

Status inspect_folder(const fs::path& folder, const std::string& name, const InspectChoice& choice,
                      InspectReport& report) {
  auto content = folder_content(folder);
  if (!content) return std::unexpected(std::move(content).error());
  report.variants.push_back(inspect_variant(**content, name, {}, with(choice)));
  return {};
}

}  // namespace

Result<InspectReport> inspect_repository(const QueryInputs& inputs, const RepoId& repo,
                                         const RevisionChoice& revision, const InspectChoice& choice,
                                         const Target& target, const std::stop_token& stop) {
  auto listings = list_revisions(inputs, repo, revision, {}, stop);
  if (!listings) return std::unexpected(std::move(listings).error());
  const auto& listing = listings->back();
  InspectReport report{.repo_id = repo.str(),
                       .path = {},
                       .revision = listing.named.name,
                       .commit = listing.commit.str(),
                       .variants = {},
                       .left_out = {},
                       .fetched = {}};
  auto names = variant_folders(listing.files);
  std::ranges::sort(names);
  auto chosen = chosen_names(names, choice, &target);
  if (!chosen)
    return std::unexpected(std::move(chosen).error().while_doing("looking into `" + repo.str() + "`"));
  note_left_out(names, *chosen, report);
  cache::Layout layout(inputs.settings.cache, inputs.settings.state);
  HubSession session(inputs.settings, inputs.user_agent, stop);
  for (const auto& name : *chosen) {
    if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
    if (inputs.settings.offline || is_cached(layout, repo, listing.commit, listing.files, name)) {
      auto folder = layout.snapshot(repo, listing.commit) / "build" / name;
      if (auto done = inspect_folder(folder, name, choice, report); !done)
        return std::unexpected(std::move(done).error());
      continue;
    }
    auto content = hub_content(session, repo, listing.commit, listing.files, name);
    report.variants.push_back(inspect_variant(*content, name, module_of(repo), with(choice)));
  }
  report.fetched = session.counters;
  return report;
}

Result<InspectReport> inspect_path(const fs::path& path, const InspectChoice& choice) {
  InspectReport report{.repo_id = {},
                       .path = path.string(),
                       .revision = {},
                       .commit = {},
                       .variants = {},
                       .left_out = {},
                       .fetched = {}};
  std::error_code code;
  if (!fs::is_directory(path, code)) {
    auto content = file_content(path);
    if (!content) return std::unexpected(std::move(content).error());
    report.variants.push_back(inspect_variant(**content, {}, {}, with(choice)));
    return report;
  }
  if (auto name = variant_folder_name(path); !name.empty()) {
    auto done = inspect_folder(path, name, choice, report);
    if (!done) return std::unexpected(std::move(done).error());
    return report;
  }
  auto build = build_folder(path);
  if (!build) return std::unexpected(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return std::unexpected(std::move(names).error());
  auto chosen = chosen_names(*names, choice, nullptr);
  if (!chosen)
    return std::unexpected(std::move(chosen).error().while_doing("looking into `" + path.string() + "`"));
  note_left_out(*names, *chosen, report);
  for (const auto& name : *chosen)
    if (auto done = inspect_folder(*build / name, name, choice, report); !done)
      return std::unexpected(std::move(done).error());
  return report;
}

}  // namespace kernels::ops
