#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/import.h"
#include "kernels/model/file_entry.h"

namespace kernels::cache {

/// One file of the folder that is imported, and its place in the repository.
struct SourceFile {
  std::filesystem::path source;
  RepoPath path;
};

struct SourceFiles {
  std::vector<SourceFile> files;
  std::vector<std::string> variants;  ///< sorted
  std::vector<Skipped> skipped;
};

/// Walks the folder and says which files are to be taken; reads no content.
Result<SourceFiles> scan_source(const std::filesystem::path& folder);

/// A source file that has been read once: `entry` is what the snapshot will hold.
struct HashedFile {
  std::filesystem::path source;
  FileEntry entry;
};

/// Copies what `blobs/` lacks. Returns false if the blob was there already.
Result<bool> publish_blob(const Layout& layout, const RepoId& repo, const HashedFile& file, Durable durable);

/// Makes the snapshot's links, as a whole folder if there is none yet, `__init__.py` last otherwise.
Status publish_snapshot(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const std::vector<HashedFile>& files, Durable durable);

/// Opens a regular file without following a link. Errors  integrity for anything else than a regular file.
Result<UniqueFd> open_source(const std::filesystem::path& path);

/// Reads a file of `size` bytes piece by piece. Errors  io, also when the file is longer or shorter by now.
Status for_each_piece(int fd, std::uint64_t size, const std::string& name,
                      const std::function<Status(std::span<const std::byte>, std::uint64_t)>& take);

}  // namespace kernels::cache
