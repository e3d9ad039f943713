#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/model/file_entry.h"

namespace kernels::cache {

enum class Links {
  symlinks,  ///< relative links into blobs, as the Python packages make them
  copies,    ///< plain files, where links do not work (`HF_HUB_DISABLE_SYMLINKS`)
};

/// Makes the snapshot entries of files whose blobs are all there. Idempotent; entries that are right are
/// kept.
///
/// A folder of files that does not exist yet appears in one step: it is built beside and renamed. In a folder
/// that exists, entries are added one by one, `__init__.py` last, so that Python never sees a variant that
/// imports but is not complete. Losing a race against the same content is success. Errors  io.
Status publish_snapshot(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const std::vector<FileEntry>& files, Links links);

/// Writes `refs/<revision>`; last of all, when the snapshot is there. Nothing to do for a commit.
Status publish_ref(const Layout& layout, const RepoId& repo, std::string_view revision, const Commit& commit);

/// Removes folders that a killed process was building in a repository and that nobody has touched for an
/// hour.
void sweep_leftovers(const Layout& layout, const RepoId& repo);

/// Whether a file of a snapshot is there: a link to its blob, or a plain file of the right size.
bool has_snapshot_entry(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const FileEntry& file);
/// Whether all of them are.
bool has_snapshot_entries(const Layout& layout, const RepoId& repo, const Commit& commit,
                          const std::vector<FileEntry>& files);

}  // namespace kernels::cache
