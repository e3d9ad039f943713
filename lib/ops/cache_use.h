#pragma once

// Who uses a repository of the cache. Not part of the public interface.

#include <optional>
#include <stop_token>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/cache/layout.h"

namespace kernels::ops {

/// Downloads hold a repository together, until their snapshot names what they fetched; what removes things
/// holds it alone. Where locks do not work both go on: then only the age of what is removed protects it.
class CacheUse {
 public:
  /// Waits while something is being removed, up to ten seconds.
  static CacheUse shared(const cache::Layout& layout, const RepoId& repo, const std::stop_token& stop);
  /// Nothing if a download is under way.
  static std::optional<CacheUse> exclusive(const cache::Layout& layout, const RepoId& repo);

 private:
  FileLock lock_;
};

}  // namespace kernels::ops
