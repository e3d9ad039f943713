#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/lock.h"
#include "kernels/ops/query.h"
#include "kernels/resolve/coverage.h"

namespace kernels::ops {

/// Which machines find which build of one kernel.
struct KernelCoverage {
  std::string repo_id;  ///< empty for a folder
  std::string path;     ///< empty for a repository
  resolve::Coverage coverage;
};

/// The tables of the revisions that were asked for. Their rows and columns are those of all versions, so all
/// versions are listed; the metadata of the variants that are shown is read, one request for each, all at
/// once. Offline, from the cache: what it lacks is not there.
/// Errors  as of `list_variants`; integrity.
Result<KernelCoverage> cover_repository(const QueryInputs& inputs, const RepoId& repo,
                                        const RevisionChoice& choice, const std::stop_token& stop);
/// The same for a folder with `build/`, or one that holds variants itself. Errors  invalid_argument, io.
Result<KernelCoverage> cover_folder(const std::filesystem::path& folder);

/// The variants of a locked kernel with what their metadata declares; named after what led to the commit.
resolve::VersionVariants locked_variants(const LockedKernel& kernel);

/// The tables of every kernel of a lock, in its order, each at the revision that is locked. Pure: a lock
/// knows the variants and their metadata.
std::vector<KernelCoverage> coverage_of_lock(const Lock& lock);

}  // namespace kernels::ops
