#pragma once

// Whether the cached files of locked variants are there and have the locked bytes. Not part of the public
// interface.

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/cache/verified.h"
#include "kernels/model/lock.h"
#include "kernels/ops/check.h"

namespace kernels::ops {

enum class FileState { good, missing, damaged };

/// Hashes on as many threads as there are cores. Each file is looked at once, however many targets need it;
/// what is known to be verified and has not changed is not read.
class FileChecker {
 public:
  FileChecker(const cache::Layout& layout, Rehash rehash);
  FileChecker(const FileChecker&) = delete;
  FileChecker& operator=(const FileChecker&) = delete;
  ~FileChecker();

  /// Looks at the files of a kernel's variant, and notes those that must be hashed.
  void look(const LockedKernel& kernel, const LockedVariant& variant);

  /// Hashes them, and notes what was verified. Errors  io; interrupted.
  Status finish(const std::stop_token& stop);

  /// After `finish`.
  FileState state(const LockedKernel& kernel, const FileEntry& file) const;

 private:
  class Hashing;
  using FileKey = std::pair<std::string, std::string>;  // snapshot folder, path

  cache::Layout layout_;
  Rehash rehash_;
  std::map<RepoId, cache::VerifiedRecord> records_;
  std::map<FileKey, FileState> states_;
  std::vector<std::pair<RepoId, BlobId>> verified_;
  std::unique_ptr<Hashing> hashing_;
};

}  // namespace kernels::ops
