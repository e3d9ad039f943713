#include "kernels/ops/query.h"

#include <algorithm>
#include <set>

#include "kernels/base/file.h"

#include "listing.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

RevisionVariants decide_listing(const Listing& listing, const Target& target) {
  auto names = resolve::parse_variant_names(variant_folders(listing.files));
  return {.version = listing.named.version,
          .revision = listing.named.revision,
          .name = listing.named.name,
          .decisions = resolve::decide(names.valid, target),
          .invalid = std::move(names.invalid),
          .uncovered = {},
          .advice = {}};
}

std::vector<std::string> backends_of(const std::vector<std::string>& names) {
  std::set<std::string> out;
  for (const auto& variant : resolve::parse_variant_names(names).valid)
    out.insert(variant.framework == Framework::noarch ? variant.noarch_name : variant.backend.name());
  return {out.begin(), out.end()};
}

}  // namespace

Result<RepositoryVariants> list_variants(const QueryInputs& inputs, const RepoId& repo,
                                         const RevisionChoice& choice, const Target& target,
                                         const std::stop_token& stop) {
  auto listings = list_revisions(inputs, repo, choice, {}, stop);
  if (!listings) return fail(std::move(listings).error());
  RepositoryVariants out{.repo_id = repo.str(), .path = {}, .revisions = {}};
  for (const auto& listing : *listings)
    out.revisions.push_back(decide_listing(listing, target));
  return out;
}

/// The chosen variant's gaps, and what would help.
static void explain(RevisionVariants& revision, const std::vector<resolve::VersionVariants>& versions,
                    std::size_t index, const Target& target) {
  revision.advice = resolve::nearest_changes(versions, index, target);
  if (revision.decisions.empty() || !revision.decisions.front().accepted()) return;
  const auto& builds = versions[index].variants;
  auto chosen =
      std::ranges::find(builds, revision.decisions.front().variant, &resolve::DeclaredVariant::variant);
  revision.uncovered = resolve::uncovered_capabilities(*chosen, target);
}

Result<RepositoryVariants> explain_variants(const QueryInputs& inputs, const RepoId& repo,
                                            const RevisionChoice& choice, const Target& target,
                                            const std::stop_token& stop) {
  // What metadata declares only matters where there are GPUs to compare it with.
  ListingScope scope{.versions = ListingScope::Versions::all,
                     .metadata = target.capabilities.empty() ? ListingScope::WithMetadata::none
                                                             : ListingScope::WithMetadata::all};
  auto listings = list_revisions(inputs, repo, choice, scope, stop);
  if (!listings) return fail(std::move(listings).error());
  std::vector<resolve::VersionVariants> versions;
  for (const auto& listing : *listings)
    versions.push_back(declared_variants(listing));
  RepositoryVariants out{.repo_id = repo.str(), .path = {}, .revisions = {}};
  for (std::size_t i = 0; i < listings->size(); ++i) {
    if (!(*listings)[i].named.asked) continue;
    out.revisions.push_back(decide_listing((*listings)[i], target));
    explain(out.revisions.back(), versions, i, target);
  }
  return out;
}

Result<RepositoryVariants> list_local_variants(const fs::path& folder, const Target& target) {
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  auto parsed = resolve::parse_variant_names(*names);
  RevisionVariants revision{.version = std::nullopt,
                            .revision = {},
                            .name = {},
                            .decisions = resolve::decide(parsed.valid, target),
                            .invalid = std::move(parsed.invalid),
                            .uncovered = {},
                            .advice = {}};
  return RepositoryVariants{.repo_id = {}, .path = folder.string(), .revisions = {std::move(revision)}};
}

Result<RepositoryVariants> explain_local_variants(const fs::path& folder, const Target& target) {
  auto out = list_local_variants(folder, target);
  if (!out) return out;
  auto version = local_variants(folder);
  if (!version) return fail(std::move(version).error());
  explain(out->revisions.front(), {*version}, 0, target);
  return out;
}

static Error no_variants(const std::string& where) {
  return Error(Errc::no_match, where + " has no build variants")
      .with_hint("they are the folders below `build/`");
}

Result<KernelInfo> describe_kernel(const QueryInputs& inputs, const RepoId& repo,
                                   const RevisionChoice& choice, const std::stop_token& stop) {
  auto listings = list_revisions(inputs, repo, choice, {.metadata = ListingScope::WithMetadata::one}, stop);
  if (!listings) return fail(std::move(listings).error());
  const auto& listing = listings->front();
  auto names = variant_folders(listing.files);
  if (names.empty()) return fail(no_variants("`" + repo.str() + "` at " + listing.named.name));
  KernelInfo out{.repo_id = repo.str(),
                 .path = {},
                 .revision = listing.named.name,
                 .metadata = std::nullopt,
                 .backends = backends_of(names)};
  if (listing.metadata.empty()) return out;
  const auto& metadata = listing.metadata.begin()->second;
  if (!metadata)
    return fail(Error(metadata.error()).while_doing("reading the metadata of `" + repo.str() + "`"));
  out.metadata = *metadata;
  return out;
}

Result<KernelInfo> describe_local_kernel(const fs::path& folder) {
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  KernelInfo out{.repo_id = {},
                 .path = folder.string(),
                 .revision = {},
                 .metadata = std::nullopt,
                 .backends = backends_of(*names)};
  if (resolve::parse_variant_names(*names).valid.empty())
    return fail(no_variants("`" + folder.string() + "`"));
  for (const auto& name : *names) {
    auto file = *build / name / "metadata.json";
    auto text = read_file(file, 8 << 20);
    if (!text) continue;
    auto metadata = parse_metadata(*text, "`" + file.string() + "`");
    if (!metadata) return fail(std::move(metadata).error());
    out.metadata = std::move(*metadata);
    break;
  }
  return out;
}

}  // namespace kernels::ops
