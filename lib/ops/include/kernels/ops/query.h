#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/settings.h"
#include "kernels/model/metadata.h"
#include "kernels/model/repo.h"
#include "kernels/model/target.h"
#include "kernels/resolve/advice.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

/// Which revision of a repository is asked about.
struct RevisionChoice {
  enum class Kind {
    latest,  ///< the highest version, or `main` if there are no versions
    all_versions,
    version,
    revision,
  };
  Kind kind = Kind::latest;
  std::uint64_t version = 0;
  std::string revision;
};

/// The variants of one revision, decided for a target.
struct RevisionVariants {
  std::optional<std::uint64_t> version;
  std::string revision;  ///< as the Hub names it: `refs/heads/v1`, or what was asked for; empty for a folder
  std::string name;      ///< the short form: `v1`
  std::vector<resolve::Decision> decisions;
  std::vector<std::string> invalid;
  // Only by the functions that explain:
  std::vector<MajorMinor> uncovered;    ///< GPUs of the target that the chosen variant declares no code for
  std::vector<resolve::Advice> advice;  ///< what would help, if anything is amiss
};

struct RepositoryVariants {
  std::string repo_id;  ///< empty for a folder
  std::string path;     ///< empty for a repository
  std::vector<RevisionVariants> revisions;
};

struct QueryInputs {
  const hub::Settings& settings;  ///< offline: the cache is asked instead of the Hub
  std::string user_agent;
};

/// What is built, and what of it runs on a target. All revisions are asked for at once.
/// Errors  not_found, with what exists; network; access_denied.
Result<RepositoryVariants> list_variants(const QueryInputs& inputs, const RepoId& repo,
                                         const RevisionChoice& choice, const Target& target,
                                         const std::stop_token& stop);
/// The same for a folder with `build/`, or one that holds variants itself.
Result<RepositoryVariants> list_local_variants(const std::filesystem::path& folder, const Target& target);

/// The same with the nearest changes that would help where nothing fits, or not well. For that the other
/// versions are listed too, and for a target with GPUs the metadata of all variants is read, all at once.
/// Errors  as above; integrity: metadata that is not what the listing says.
Result<RepositoryVariants> explain_variants(const QueryInputs& inputs, const RepoId& repo,
                                            const RevisionChoice& choice, const Target& target,
                                            const std::stop_token& stop);
Result<RepositoryVariants> explain_local_variants(const std::filesystem::path& folder, const Target& target);

/// What a kernel is, from the metadata of its first variant that has some.
struct KernelInfo {
  std::string repo_id;  ///< empty for a folder
  std::string path;     ///< empty for a repository
  std::string revision;
  std::optional<Metadata> metadata;
  std::vector<std::string> backends;  ///< of all variants, sorted
};
Result<KernelInfo> describe_kernel(const QueryInputs& inputs, const RepoId& repo,
                                   const RevisionChoice& choice, const std::stop_token& stop);
Result<KernelInfo> describe_local_kernel(const std::filesystem::path& folder);

}  // namespace kernels::ops
