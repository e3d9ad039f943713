#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/repo.h"

namespace kernels {

/// How the Hub stores a file, which decides about its hash: in git itself, or by git-lfs as a pointer.
enum class Storage { git, lfs };

/// The bytes from a file's start that decide, as in git itself, whether its content is text.
inline constexpr std::size_t kTextProbe = 8000;

/// The storage that the Hub chooses for a new file: lfs for binaries by name (`.so`, `.pyd`, `.dylib`, `.a`,
/// `.bin`), for more than 10 MiB, and for a zero byte in the first `kTextProbe` bytes (`head`). An empty file
/// is always stored in git.
Storage storage_for(const RepoPath& path, std::uint64_t size, std::string_view head);

/// The text that git stores in place of a large file's content. Source  git-lfs, docs/spec.md, "The Pointer".
std::string lfs_pointer(const BlobId& content, std::uint64_t size);

/// The name under which a file stands in its git tree: git's hash of the content, or of the pointer text.
std::string git_object_name(const FileEntry& file);

/// The names of all tree objects of a commit, by folder path; the root is the empty path.
using GitTrees = std::map<std::string, std::string, std::less<>>;

/// The tree objects for a set of files, each as a plain file (mode 100644), exactly as git would write them.
/// Errors  corrupt: one path is both a file and a folder, or occurs twice.
Result<GitTrees> git_trees(std::vector<FileEntry> files);

/// The name of a commit object without parent, with a fixed author and time: equal content gives an equal
/// commit on every machine.
Commit git_commit(std::string_view root_tree, std::string_view message);

}  // namespace kernels
