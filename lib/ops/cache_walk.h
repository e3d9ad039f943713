#pragma once

// What `cache ls`, `verify` and `prune` share. Not part of the public interface.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/model/file_entry.h"
#include "kernels/ops/cache_care.h"

namespace kernels::ops {

/// The entries of a folder, sorted; none if it is a link or cannot be read.
std::vector<std::filesystem::directory_entry> entries_of(const std::filesystem::path& folder);

/// Adds number, size and last use of the blobs.
void count_blobs(const cache::Layout& layout, CachedRepository& out);

/// An entry of a snapshot that is not what it must be.
struct BadEntry {
  Commit commit;
  std::string path;  ///< in the snapshot
  std::size_t problem = 0;
};

/// What was found wrong in one repository, for a repair.
struct RepositoryFindings {
  RepoId repo;
  std::vector<CacheProblem> problems = {};
  std::map<std::string, std::size_t> bad_blobs = {};  ///< entries of `blobs/` that are wrong → problem
  std::vector<BadEntry> bad_entries = {};  ///< in snapshots, without those that only lead to bad blobs
  std::map<std::string, std::set<std::pair<std::string, std::string>>> users =
      {};                                            ///< blob → commit and path
  std::map<std::string, std::size_t> bad_refs = {};  ///< below `refs/` → problem
  std::vector<BadEntry> bad_variants = {};  ///< folders whose files are right and the digest says otherwise
};

/// Mends what was found, and notes in each problem what was done.
/// Errors  io; interrupted.
Status repair_repository(const CacheVerifyRequest& request, RepositoryFindings& findings,
                         const EventSink& events, const std::stop_token& stop);

}  // namespace kernels::ops
