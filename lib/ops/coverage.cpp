#include "kernels/ops/coverage.h"

#include "kernels/resolve/variants.h"

#include "listing.h"

namespace kernels::ops {

Result<KernelCoverage> cover_repository(const QueryInputs& inputs, const RepoId& repo,
                                        const RevisionChoice& choice, const std::stop_token& stop) {
  ListingScope scope{.versions = ListingScope::Versions::all, .metadata = ListingScope::WithMetadata::asked};
  auto listings = list_revisions(inputs, repo, choice, scope, stop);
  if (!listings) return fail(std::move(listings).error());
  std::vector<resolve::VersionVariants> versions;
  for (const auto& listing : *listings)
    versions.push_back(declared_variants(listing));
  KernelCoverage out{.repo_id = repo.str(), .path = {}, .coverage = resolve::coverage_of(versions)};
  std::erase_if(out.coverage.tables,
                [&](const auto& table) { return !(*listings)[table.index].named.asked; });
  return out;
}

Result<KernelCoverage> cover_folder(const std::filesystem::path& folder) {
  auto version = local_variants(folder);
  if (!version) return fail(std::move(version).error());
  return KernelCoverage{.repo_id = {}, .path = folder.string(), .coverage = resolve::coverage_of({*version})};
}

resolve::VersionVariants locked_variants(const LockedKernel& kernel) {
  resolve::VersionVariants out{
      .version = version_branch_number(kernel.ref), .name = kernel.ref, .variants = {}};
  for (const auto& variant : kernel.variants)
    for (auto& parsed : resolve::parse_variant_names({variant.name}).valid)
      out.variants.push_back(
          {.variant = std::move(parsed),
           .archs = variant.metadata ? variant.metadata->archs : std::vector<std::string>{}});
  return out;
}

std::vector<KernelCoverage> coverage_of_lock(const Lock& lock) {
  std::vector<KernelCoverage> out;
  for (const auto& kernel : lock.kernels)
    out.push_back({.repo_id = kernel.repo.str(),
                   .path = {},
                   .coverage = resolve::coverage_of({locked_variants(kernel)})});
  return out;
}

}  // namespace kernels::ops
