#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/repo.h"

namespace kernels::hub {

/// A branch, tag or `refs/…` name and its commit.
struct SourceRef {
  std::string name;
  Commit commit;
};

/// The files of one repository at one commit, sorted by path.
using Listing = std::vector<FileEntry>;

/// Where a Hub server finds what it serves. Implemented over the cache, outside this module.
/// Threads  all functions may be called by many threads at once.
class RepositorySource {
 public:
  virtual ~RepositorySource() = default;

  virtual bool has_repository(const RepoId& repo) const = 0;
  /// Whether any repository belongs to this organisation.
  virtual bool has_publisher(std::string_view publisher) const = 0;
  /// The names whose commit can be served. Read anew at each call.
  virtual std::vector<SourceRef> refs(const RepoId& repo) const = 0;
  /// Whether this commit can be served.
  virtual bool has_commit(const RepoId& repo, const Commit& commit) const = 0;
  /// The files at a commit. The same pointer is returned until something has changed, so that a caller can
  /// keep what it has computed from it. Errors  not_found; io.
  virtual Result<std::shared_ptr<const Listing>> listing(const RepoId& repo, const Commit& commit) const = 0;
  /// Opens the content of a file of a listing, whose size is `file.size`. Errors  not_found; integrity; io.
  virtual Result<UniqueFd> open(const RepoId& repo, const Commit& commit, const FileEntry& file) const = 0;
};

}  // namespace kernels::hub
