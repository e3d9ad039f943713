#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/repo.h"

namespace kernels::cache {

/// Where things live in the cache that this program shares with the Python packages.
///
/// 1. `<root>/kernels--org--name/blobs/<hash>`              content of one verified file
/// 2. `<root>/kernels--org--name/blobs/<hash>.<8 hex>.incomplete`  a download under way
/// 3. `<root>/kernels--org--name/snapshots/<commit>/<path>` relative link into blobs (or a plain file)
/// 4. `<root>/kernels--org--name/refs/<revision>`           the commit, 40 bytes, no newline; written last
/// 5. `<root>/.locks/kernels--org--name/<hash>.lock`        advisory lock while a blob is fetched
/// 6. `<root>/.kernels-v1/verified/kernels--org--name`      our own record of what was verified
/// 7. `<state>/receipt.key`                                 what that record is sealed with, this user's own
///
/// A value; makes no system call by itself.
class Layout {
 public:
  /// `state`: a folder of this user, outside the cache. None: what was verified is not remembered.
  explicit Layout(std::filesystem::path root, std::filesystem::path state = {})
      : root_(std::move(root)), state_(std::move(state)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path repository(const RepoId& repo) const { return root_ / repo.folder(); }
  std::filesystem::path blobs(const RepoId& repo) const { return repository(repo) / "blobs"; }
  std::filesystem::path blob(const RepoId& repo, const BlobId& id) const { return blobs(repo) / id.str(); }
  std::filesystem::path snapshot(const RepoId& repo, const Commit& commit) const {
    return repository(repo) / "snapshots" / commit.str();
  }
  std::filesystem::path ref(const RepoId& repo, std::string_view revision) const {
    return repository(repo) / "refs" / revision;
  }
  std::filesystem::path lock(const RepoId& repo, const BlobId& id) const {
    return root_ / ".locks" / repo.folder() / (id.str() + ".lock");
  }
  std::filesystem::path verified_record(const RepoId& repo) const {
    return root_ / ".kernels-v1" / "verified" / repo.folder();
  }
  /// Empty if there is no folder for it.
  std::filesystem::path receipt_key() const { return state_.empty() ? state_ : state_ / "receipt.key"; }

 private:
  std::filesystem::path root_;
  std::filesystem::path state_;
};

/// The text of a snapshot's link to a blob: `../../` and one more `../` for each folder of the path.
std::string link_target(const RepoPath& path, const BlobId& id);

/// Whether every folder below that of the repository, down to `folder`, is a folder of its own: a link there
/// would lead what is written, or read, to another place. What does not exist yet is fine.
/// Errors  integrity.
Status check_no_links(const Layout& layout, const RepoId& repo, const std::filesystem::path& folder);

/// The repositories in the cache, sorted by name. Folders with other names are ignored.
/// Errors  not_found: there is no cache folder.
Result<std::vector<RepoId>> list_repositories(const Layout& layout);

/// One name below `refs/` and what it points to. Refs that do not hold a commit are left out.
struct Ref {
  std::string name;
  Commit commit;
};
std::vector<Ref> list_refs(const Layout& layout, const RepoId& repo);
std::optional<Commit> read_ref(const Layout& layout, const RepoId& repo, std::string_view revision);

/// The commits that have a snapshot folder, sorted.
std::vector<Commit> list_snapshots(const Layout& layout, const RepoId& repo);

/// The files of a snapshot, sorted by path. A link into `blobs/` gives the blob's name; a plain file (made
/// where links do not work) is hashed as git does. Links that lead elsewhere, and bytecode, are left out.
/// Errors  not_found: no such snapshot; io.
Result<std::vector<FileEntry>> list_snapshot_files(const Layout& layout, const RepoId& repo,
                                                   const Commit& commit);

}  // namespace kernels::cache
