#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/hash.h"
#include "kernels/model/repo.h"

namespace kernels {

/// The identity of a file's content on the Hub, which is also the name of its blob in the cache: 64
/// hexadecimal digits are the SHA-256 of the content (large files), 40 are git's SHA-1 of it as a blob (all
/// others).
class BlobId {
 public:
  /// Errors  integrity: anything but 40 or 64 lower-case hexadecimal digits.
  static Result<BlobId> parse(std::string_view text);
  static BlobId of_sha256(std::string hex) { return BlobId(std::move(hex)); }
  static BlobId of_git_sha1(std::string hex) { return BlobId(std::move(hex)); }

  const std::string& str() const { return text_; }
  bool is_sha256() const { return text_.size() == 64; }
  /// A hasher whose hexadecimal result, over a content of `size` bytes, must equal `str()`.
  Hasher hasher(std::uint64_t size) const;
  auto operator<=>(const BlobId&) const = default;

 private:
  explicit BlobId(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// One file of a repository at a commit.
struct FileEntry {
  RepoPath path;
  std::uint64_t size = 0;
  BlobId blob;
  auto operator<=>(const FileEntry&) const = default;
};

/// Whether the files can lie in one folder on every machine: no path twice, none that is a folder for others,
/// none that differ only in the case of their ASCII letters.
/// Errors  integrity, with both names. Cost: sorts the paths once.
Status check_file_set(const std::vector<FileEntry>& files);

/// Largest file that is accepted anywhere: what the Python packages accept over plain HTTP.
inline constexpr std::uint64_t kMaxFileSize = 50'000'000'000;

/// The hash of one variant in a v1 lock file: SHA-256 over, for each file in byte order of its path relative
/// to the variant's folder, the path and the raw hash. "sha256-" and hexadecimal digits. Source
/// `git_lfs_concat` of the Python package `kernels` up to 0.16.
std::string variant_hash(const std::vector<FileEntry>& files, std::string_view variant_folder);

}  // namespace kernels
