#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/source.h"

namespace kernels::hub {

/// A file or folder of a commit as the tree route shows it.
struct TreeNode {
  std::string key;                  ///< the path, for a folder with a `/` at its end: sorts as git does
  std::string oid;                  ///< git's name of the tree, blob or pointer
  const FileEntry* file = nullptr;  ///< owned by the listing; none for a folder

  bool is_folder() const { return file == nullptr; }
  std::string_view path() const {
    return std::string_view(key).substr(0, key.size() - (is_folder() ? 1 : 0));
  }
};

/// All files and folders of a commit in git's order, folders before what they hold. Immutable.
class Tree {
 public:
  /// Errors  corrupt: the listing is no tree.
  static Result<std::shared_ptr<const Tree>> build(std::shared_ptr<const Listing> listing);

  const std::shared_ptr<const Listing>& listing() const { return listing_; }
  /// The file or folder of this path.
  const TreeNode* find(std::string_view path) const;
  const FileEntry* find_file(std::string_view path) const;
  /// A file with this content.
  const FileEntry* find_blob(std::string_view blob) const;
  /// What is below a folder at any depth; everything for the empty path. Nothing if there is no such folder.
  std::optional<std::span<const TreeNode>> below(std::string_view folder) const;

 private:
  std::shared_ptr<const Listing> listing_;
  std::vector<TreeNode> nodes_;
};

/// Finds commits and their trees, and keeps the trees. Threads  safe.
class Catalog {
 public:
  explicit Catalog(std::shared_ptr<const RepositorySource> source) : source_(std::move(source)) {}

  const RepositorySource& source() const { return *source_; }
  /// The names that can be asked for, `main` always among them if there is any.
  std::vector<SourceRef> refs(const RepoId& repo) const;
  /// The commit of a branch, tag, `refs/…` name or commit.
  std::optional<Commit> resolve(const RepoId& repo, std::string_view revision) const;
  Result<std::shared_ptr<const Tree>> tree(const RepoId& repo, const Commit& commit);

 private:
  std::shared_ptr<const RepositorySource> source_;
  std::mutex mutex_;
  std::map<std::pair<RepoId, Commit>, std::shared_ptr<const Tree>> trees_;
};

}  // namespace kernels::hub
