#pragma once

#include <map>
#include <string>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/cache/layout.h"

namespace kernels::cache {

/// Which blobs of a repository this program has hashed, and how their files looked then. A blob whose file
/// still looks the same (size, times, inode) need not be hashed again; anything else is.
///
/// The record is only ever an optimisation: lost or not writable, blobs are hashed again.
/// Format  text; first line `kernels-verified 1`, then `<hash> <size> <mtime ns> <ctime ns> <inode>` a line.
class VerifiedRecord {
 public:
  static VerifiedRecord load(const Layout& layout, const RepoId& repo);

  /// Whether the blob's file looked like `now` when it was hashed.
  bool is_verified(const BlobId& id, const FileStamp& now) const;
  /// Notes the file as it is now. Call it right after it was hashed.
  void note(const Layout& layout, const RepoId& repo, const BlobId& id);
  bool changed() const { return changed_; }
  Status save(const Layout& layout, const RepoId& repo) const;

 private:
  std::map<std::string, FileStamp> stamps_;
  bool changed_ = false;
};

}  // namespace kernels::cache
