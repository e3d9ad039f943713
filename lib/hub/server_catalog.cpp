#include "server_catalog.h"

#include <algorithm>

#include "kernels/model/git_objects.h"
#include "kernels/model/version.h"

namespace kernels::hub {

Result<std::shared_ptr<const Tree>> Tree::build(std::shared_ptr<const Listing> listing) {
  auto folders = git_trees(*listing);
  if (!folders) return fail(std::move(folders).error());
  auto tree = std::make_shared<Tree>();
  tree->nodes_.reserve(listing->size() + folders->size());
  for (const auto& file : *listing)
    tree->nodes_.push_back({.key = file.path.str(), .oid = git_object_name(file), .file = &file});
  for (const auto& [path, oid] : *folders)
    if (!path.empty()) tree->nodes_.push_back({.key = path + "/", .oid = oid});
  std::ranges::sort(tree->nodes_, {}, &TreeNode::key);
  tree->listing_ = std::move(listing);
  return tree;
}

const TreeNode* Tree::find(std::string_view path) const {
  for (const auto& key : {std::string(path), std::string(path) + "/"}) {
    auto it = std::ranges::lower_bound(nodes_, key, {}, &TreeNode::key);
    if (it != nodes_.end() && it->key == key && it->path() == path) return &*it;
  }
  return nullptr;
}

const FileEntry* Tree::find_file(std::string_view path) const {
  const auto* node = find(path);
  return node != nullptr ? node->file : nullptr;
}

const FileEntry* Tree::find_blob(std::string_view blob) const {
  auto it = std::ranges::find_if(*listing_, [&](const FileEntry& file) { return file.blob.str() == blob; });
  return it == listing_->end() ? nullptr : &*it;
}

std::optional<std::span<const TreeNode>> Tree::below(std::string_view folder) const {
  if (folder.empty()) return nodes_;
  auto prefix = std::string(folder) + "/";
  auto first = std::ranges::lower_bound(nodes_, prefix, {}, &TreeNode::key);
  if (first == nodes_.end() || first->key != prefix) return std::nullopt;
  ++first;
  auto last = std::ranges::partition_point(
      first, nodes_.end(), [&](const TreeNode& node) { return node.key.starts_with(prefix); });
  return std::span<const TreeNode>(first, last);
}

std::vector<SourceRef> Catalog::refs(const RepoId& repo) const {
  auto refs = source_->refs(repo);
  bool has_main = std::ranges::any_of(refs, [](const SourceRef& ref) { return ref.name == "main"; });
  if (has_main || refs.empty()) return refs;
  // A cache filled by version has no `main`, but clients look there for redirects and by default.
  auto version = [](const SourceRef& ref) { return version_branch_number(ref.name); };
  auto newest = std::ranges::max_element(refs, {}, version);
  refs.insert(refs.begin(), {.name = "main", .commit = newest->commit});
  return refs;
}

std::optional<Commit> Catalog::resolve(const RepoId& repo, std::string_view revision) const {
  if (auto commit = Commit::parse(revision)) {
    if (source_->has_commit(repo, *commit)) return *commit;
    return std::nullopt;
  }
  for (std::string_view prefix : {"", "refs/heads/", "refs/tags/"}) {
    if (!revision.starts_with(prefix)) continue;
    auto name = revision.substr(prefix.size());
    for (const auto& ref : refs(repo))
      if (ref.name == name) return ref.commit;
  }
  return std::nullopt;
}

Result<std::shared_ptr<const Tree>> Catalog::tree(const RepoId& repo, const Commit& commit) {
  constexpr std::size_t kMostTrees = 256;
  auto listing = source_->listing(repo, commit);
  if (!listing) return fail(std::move(listing).error());
  std::pair key{repo, commit};
  {
    std::scoped_lock lock(mutex_);
    auto it = trees_.find(key);
    if (it != trees_.end() && it->second->listing() == *listing) return it->second;
  }
  auto tree = Tree::build(*listing);
  if (!tree) return tree;
  std::scoped_lock lock(mutex_);
  if (trees_.size() >= kMostTrees) trees_.clear();
  trees_.insert_or_assign(key, *tree);
  return tree;
}

}  // namespace kernels::hub
