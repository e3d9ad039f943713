#pragma once

#include <string>

#include "kernels/model/lock.h"

// Pieces of locks for tests.

namespace kernels::test {

inline FileEntry file_entry(const std::string& path, const std::string& blob, std::uint64_t size = 1) {
  return {.path = *RepoPath::parse(path), .size = size, .blob = *BlobId::parse(blob)};
}

inline Commit commit_of(char digit, std::size_t length = 40) {
  return *Commit::parse(std::string(length, digit));
}

inline LockedKernel locked_kernel(const std::string& repo, Requirement requirement, Commit commit) {
  return {.repo = *RepoId::parse(repo),
          .requirement = std::move(requirement),
          .commit = std::move(commit),
          .ref = "v1",
          .ref_is_tag = false,
          .asked_for = std::nullopt,
          .hub_name = {},
          .direct = true,
          .trust = TrustSource::hub,
          .variants = {}};
}

}  // namespace kernels::test
