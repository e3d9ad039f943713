#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/cache/layout.h"
#include "kernels/model/repo.h"

namespace kernels::cache {

/// What to take into the cache, and under which name.
struct ImportRequest {
  /// A folder with `build/<variant>/…`, a folder `build` itself, or one that holds variants. Beside `build`
  /// the README, the licence, `kernel-status.toml` and `benchmarks/` are taken too, and nothing else.
  std::filesystem::path folder;
  RepoId repo;
  std::optional<std::uint64_t> version =
      {};  ///< branch `vN`; none: the version that every metadata.json states
  std::optional<std::string> revision = {};  ///< a branch of another name, in place of a version
  Durable durable = Durable::yes;            ///< whether the result must survive a power loss
};

/// A file or folder that was not taken, with the reason.
struct Skipped {
  std::string path;
  std::string reason;
};

struct ImportReport {
  RepoId repo;
  Commit commit;
  std::vector<std::string> refs;  ///< the names that now stand for the commit
  std::vector<std::string> variants;
  std::vector<Skipped> skipped;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;          ///< of all files
  std::uint64_t written_files = 0;  ///< that the cache did not have yet
  std::uint64_t written_bytes = 0;
};

/// Takes a folder into the cache as a snapshot that the Python packages can read without a network.
///
/// The commit is a real git commit over the content with a fixed author and time: the same content gives
/// the same commit everywhere, other content another one. All files are read and checked before anything is
/// written; then blobs are published one by one, the snapshot as a whole, the refs last. `main` is moved too,
/// unless the repository has a higher version already or another branch was named.
///
/// Errors  not_found: no such folder, or no variant in it; integrity: a link, a special file or a name that
///         no snapshot may hold; invalid_argument: no version to be found, or versions that contradict;
///         io. The cache is then as before, apart from blobs that nothing points to.
/// Cost    reads every file once to hash it and once more to copy it, if the cache lacks it.
Result<ImportReport> import_folder(const Layout& layout, const ImportRequest& request);

}  // namespace kernels::cache
