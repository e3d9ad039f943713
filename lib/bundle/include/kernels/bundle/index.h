#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/repo.h"

namespace kernels::bundle {

/// A bundle is one zstd frame around a tar archive of plain ustar entries, in this order:
///
/// 1. `index.json`         what follows: this header's values
/// 2. `kernels.lock`       the lock, as it stands in the project
/// 3. `kernels.sum`        every file of the lock with its hash
/// 4. `trusted_root.json`  Sigstore's trusted root, as the writer had it
/// 5. `blobs/<sha256>`     each different content once; alike ones are neighbours
///
/// Every entry has mode 0644, owner 0 and the time 1980-01-01, so that equal content gives equal bytes.
inline constexpr std::string_view kIndexName = "index.json";
inline constexpr std::string_view kLockName = "kernels.lock";
inline constexpr std::string_view kSumName = "kernels.sum";
inline constexpr std::string_view kRootName = "trusted_root.json";
inline constexpr std::string_view kBlobFolder = "blobs/";

/// Bounds of what a reader takes on, whatever the index says.
inline constexpr std::uint64_t kMaxIndexBytes = 32ULL << 20;
inline constexpr std::uint64_t kMaxTextBytes = 64ULL << 20;        ///< of lock, sum and root, each
inline constexpr std::uint64_t kMaxEntryBytes = (8ULL << 30) - 1;  ///< what a ustar header can say
inline constexpr std::size_t kMaxEntries = 1'000'000;

/// One entry of the archive after the index.
struct Entry {
  std::string path;
  std::uint64_t size = 0;
  std::string sha256;
  bool operator==(const Entry&) const = default;
};

/// A file's place in the cache, and the content that it has.
struct File {
  FileEntry entry;
  std::string sha256;  ///< names the blob of the archive; the cache may name it by git's SHA-1
  bool operator==(const File&) const = default;
};

struct Kernel {
  RepoId repo;
  Commit commit;
  std::string ref;  ///< what stands for the commit in the cache
  std::vector<File> files;
  bool operator==(const Kernel&) const = default;
};

struct Index {
  std::vector<Entry> entries;  ///< in the order of the archive
  std::vector<Kernel> kernels;
  bool operator==(const Index&) const = default;

  /// Bytes of all entries, the index itself not counted.
  std::uint64_t bytes() const;
};

/// JSON of schema `kernels.bundle/1`, one entry or file a line.
std::string render_index(const Index& index);

/// Reads an index that may be hostile. It is accepted only if it is, to the byte, what `render_index` gives
/// for the same values, and if these are consistent: see the `index-…` rules. `where` names it in errors.
/// Errors  integrity; unsupported for the schema of a newer program.
Result<Index> parse_index(std::string_view text, const std::string& where);

/// Size of the whole tar archive: headers, contents, padding and end.
std::uint64_t archive_bytes(const Index& index, std::uint64_t index_text_bytes);

}  // namespace kernels::bundle
