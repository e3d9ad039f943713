#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/cache/layout.h"

namespace kernels::cache {

/// That the signature of a variant was verified: what was signed, by whom, under which rules, and when.
struct Receipt {
  std::string content;           ///< SHA-256 over everything that was verified, hex
  std::string rules;             ///< SHA-256 over who was trusted and the trusted root, hex
  std::int64_t verified_at = 0;  ///< Unix seconds
  std::string identity;          ///< of the signer, as its writer keeps it
  bool operator==(const Receipt&) const = default;
};

/// What this program has verified in a repository: blobs, and how their files looked then; signatures. A blob
/// whose file still looks the same (size, times, inode) need not be hashed again; anything else is.
///
/// The record is sealed with a key that only this user can read and that is not in the cache: whoever can
/// write to the cache cannot make one. A record that is not sealed by it, or is another repository's, counts
/// for nothing. It is only ever an optimisation: lost or not writable, all is verified again.
///
/// Format  text; first line `kernels-verified 2`; `blob <hash> <size> <mtime ns> <ctime ns> <inode>`;
///         `signature <content> <rules> <seconds> <base64 of the identity>`; last line
///         `seal <HMAC-SHA256 over the repository's folder name, a newline and all lines before>`.
class VerifiedRecord {
 public:
  static VerifiedRecord load(const Layout& layout, const RepoId& repo);

  /// Whether the blob's file looked like `now` when it was hashed.
  bool is_verified(const BlobId& id, const FileStamp& now) const;
  /// Notes the file as it is now. Call it right after it was hashed.
  void note(const Layout& layout, const RepoId& repo, const BlobId& id);

  /// Nothing without one, or for one from after `now` (Unix seconds): then a clock was wrong.
  const Receipt* receipt(std::string_view content, std::string_view rules, std::int64_t now) const;
  /// Keeps one receipt for a content, the last.
  void note(Receipt receipt);

  /// The lines between the first and the seal, and back; what is malformed is left out.
  std::string lines() const;
  static VerifiedRecord of_lines(std::string_view lines);

  bool changed() const { return changed_; }
  /// Makes the key if there is none yet. Errors  io.
  Status save(const Layout& layout, const RepoId& repo) const;

 private:
  void read_line(std::string_view line);

  std::map<std::string, FileStamp> stamps_;
  std::map<std::string, Receipt, std::less<>> receipts_;
  bool changed_ = false;
};

/// The lines of a record, if it is sealed by `key` for that repository. Pure.
std::optional<std::string_view> unseal_record(std::string_view text, std::string_view key,
                                              const RepoId& repo);

}  // namespace kernels::cache
