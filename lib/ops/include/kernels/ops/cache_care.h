#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/settings.h"
#include "kernels/model/event.h"
#include "kernels/model/repo.h"

// The cache as a whole: what is in it, whether it is what it says, what can go. Kernel repositories only:
// models and data sets of the Python packages lie in the same folder and are left alone.

namespace kernels::ops {

/// Something in the cache that is not as it must be, or not as it should be.
struct CacheProblem {
  enum class Weight {
    damaged,  ///< what is found there cannot be used as what it says it is
    warning,  ///< right as it is, but others could change it, or a part is missing
  };
  Weight weight = Weight::damaged;
  RepoId repo;
  std::string path;  ///< below the repository's folder
  std::string rule;  ///< for programs: `blob-bytes`, `snapshot-link`, `digest`, …
  std::string text;  ///< for people, one line: what was expected and what was found
  std::string done;  ///< what a repair did about it; empty: nothing
};

/// One repository as it was found.
struct CachedRepository {
  RepoId repo;
  std::vector<std::string> refs;
  std::vector<std::string> variants;  ///< of all snapshots, each name once, sorted
  std::uint64_t snapshots = 0;
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;       ///< of the blobs
  std::uint64_t unfinished = 0;  ///< downloads that were left or are under way
  std::optional<std::chrono::system_clock::time_point>
      last_used;  ///< when a blob was last read, if that is kept
};

/// All kernel repositories, sorted by name. A cache that does not exist yet is empty. Cost: a stat of each
/// blob.
std::vector<CachedRepository> list_cache(const cache::Layout& layout);

enum class Repair { no, yes };

struct CacheVerifyRequest {
  const hub::Settings& settings;
  std::vector<RepoId> repositories;  ///< none: all
  Repair repair = Repair::no;
  std::string user_agent;
};

struct CacheVerifyReport {
  std::vector<CachedRepository> repositories;
  std::vector<CacheProblem> problems;  ///< by repository and path
  /// Nothing is damaged, or a repair has dealt with it.
  bool good() const;
};

/// Reads everything again: each blob against its name, each link and ref, each variant against the digest of
/// its metadata. Follows no link and reads nothing but regular files.
///
/// A repair fetches what is wrong from the Hub, each file verified and renamed as in a download; what the Hub
/// does not have, or offline, is removed, a variant as a whole, so that nothing that is incomplete can be
/// imported.
/// Errors  not_found: a repository that the cache does not have; io; interrupted.
Result<CacheVerifyReport> verify_cache(const CacheVerifyRequest& request, const EventSink& events,
                                       const std::stop_token& stop);

enum class DryRun { no, yes };

/// What a `prune` removes, or would.
struct PrunedFile {
  RepoId repo;
  std::string path;  ///< below the repository's folder
  std::uint64_t bytes = 0;
  std::string reason;
};

/// Removes downloads that nobody goes on with and blobs that no snapshot has, both untouched for at least
/// `age`, and nothing that another process has locked. Errors  io: something could not be removed.
Result<std::vector<PrunedFile>> prune_cache(const cache::Layout& layout, std::chrono::seconds age,
                                            DryRun dry);

}  // namespace kernels::ops
