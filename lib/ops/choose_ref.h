#pragma once

// Which branch or tag a requirement means. Not part of the public interface.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/hub_answers.h"
#include "kernels/model/version.h"

namespace kernels::ops {

/// A commit and the branch or tag that led to it.
struct Chosen {
  Commit commit;
  std::string ref;
  bool is_tag = false;
};

/// The branch of version `number`. Errors  not_found, with the versions that exist.
Result<Chosen> choose_version(const RepoId& repo, std::uint64_t number, const RepositoryRefs& refs);

/// The best tag of a specifier. Errors  not_found, with the tags that exist.
Result<Chosen> choose_tag(const RepoId& repo, const SpecifierSet& set, const RepositoryRefs& refs);

/// `a, b, c`, or `none`.
std::string list_names(const std::vector<std::string>& names);

}  // namespace kernels::ops
