#include "kernels/model/git_objects.h"

#include <algorithm>
#include <array>
#include <optional>

#include "kernels/base/hash.h"

namespace kernels {

namespace {

std::string object_name(std::string_view type, std::string_view content) {
  Hasher hasher(HashAlgorithm::sha1);
  hasher.update(type);
  hasher.update(" " + std::to_string(content.size()));
  hasher.update(std::string_view("\0", 1));
  hasher.update(content);
  return hasher.finish_hex();
}

/// One line of a tree object: "<mode> <name>\0" and the 20 raw bytes of the object's name.
void append_tree_line(std::string& tree, std::string_view mode, std::string_view name,
                      const std::string& oid) {
  auto raw = from_hex(oid);
  tree += std::string(mode) + " " + std::string(name);
  tree += '\0';
  if (raw) tree.append(reinterpret_cast<const char*>(raw->data()), raw->size());
}

using Range = std::pair<std::vector<FileEntry>::const_iterator, std::vector<FileEntry>::const_iterator>;

/// Builds the tree objects of a sorted list, folder by folder. Git sorts a folder as if its name ended in
/// `/`. That is not the order of whole paths as bytes, so each folder sorts its own entries.
class TreeBuilder {
 public:
  Result<std::string> build(const std::string& folder, Range files) {
    std::vector<Line> lines;
    auto prefix = folder.empty() ? 0 : folder.size() + 1;
    for (auto it = files.first; it != files.second;) {
      auto rest = std::string_view(it->path.str()).substr(prefix);
      auto slash = rest.find('/');
      if (slash == std::string_view::npos) {
        lines.push_back({.key = std::string(rest), .name = std::string(rest), .oid = git_object_name(*it++)});
        continue;
      }
      std::string child(it->path.str().substr(0, prefix + slash));
      auto last = std::find_if(it, files.second,
                               [&](const FileEntry& f) { return !f.path.str().starts_with(child + "/"); });
      auto oid = build(child, {it, last});
      if (!oid) return oid;
      std::string name(rest.substr(0, slash));
      lines.push_back({.key = name + "/", .name = name, .oid = *oid, .is_folder = true});
      it = last;
    }
    return finish(folder, std::move(lines));
  }

  GitTrees take() { return std::move(trees_); }

 private:
  struct Line {
    std::string key;
    std::string name;
    std::string oid;
    bool is_folder = false;
  };

  Result<std::string> finish(const std::string& folder, std::vector<Line> lines) {
    std::ranges::sort(lines, {}, &Line::name);
    auto twin = std::ranges::adjacent_find(lines, {}, &Line::name);
    if (twin != lines.end())
      return fail(Errc::corrupt,
                  "`" + (folder.empty() ? "" : folder + "/") + twin->name + "` is listed more than once");
    std::ranges::sort(lines, {}, &Line::key);
    std::string tree;
    for (const auto& line : lines)
      append_tree_line(tree, line.is_folder ? "40000" : "100644", line.name, line.oid);
    return trees_[folder] = object_name("tree", tree);
  }

  GitTrees trees_;
};

}  // namespace

Storage storage_for(const RepoPath& path, std::uint64_t size, std::string_view head) {
  constexpr std::uint64_t kLargestInGit = 10ULL << 20;
  constexpr std::array<std::string_view, 5> kBinaries = {".so", ".pyd", ".dylib", ".a", ".bin"};
  if (size == 0) return Storage::git;
  bool by_name = std::ranges::any_of(kBinaries, [&](auto end) { return path.filename().ends_with(end); });
  bool by_content = head.substr(0, kTextProbe).find('\0') != std::string_view::npos;
  return by_name || by_content || size > kLargestInGit ? Storage::lfs : Storage::git;
}

std::string lfs_pointer(const BlobId& content, std::uint64_t size) {
  return "version https://git-lfs.github.com/spec/v1\noid sha256:" + content.str() + "\nsize " +
         std::to_string(size) + "\n";
}

std::string git_object_name(const FileEntry& file) {
  if (!file.blob.is_sha256()) return file.blob.str();
  return object_name("blob", lfs_pointer(file.blob, file.size));
}

Result<GitTrees> git_trees(std::vector<FileEntry> files) {
  // The files of one folder are neighbours only if `/` sorts before every other byte: `a/b` before `a-c`.
  std::ranges::sort(files, [](const FileEntry& a, const FileEntry& b) {
    return std::ranges::lexicographical_compare(
        a.path.str(), b.path.str(), {},
        [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; },
        [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; });
  });
  TreeBuilder builder;
  auto root = builder.build("", {files.begin(), files.end()});
  if (!root) return fail(std::move(root).error());
  return builder.take();
}

Commit git_commit(std::string_view root_tree, std::string_view message) {
  constexpr std::string_view kWho = "kernels <kernels@localhost> 0 +0000";
  std::string text = "tree " + std::string(root_tree) + "\nauthor " + std::string(kWho) + "\ncommitter " +
                     std::string(kWho) + "\n\n" + std::string(message) + "\n";
  return *Commit::parse(object_name("commit", text));
}

}  // namespace kernels
