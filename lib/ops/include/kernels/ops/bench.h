#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/model/target.h"
#include "kernels/ops/check.h"

namespace kernels::ops {

/// A variant's folder that may be measured, and what it is.
struct BenchTarget {
  std::string kernel;  ///< repository, or the folder that was given
  std::string commit;  ///< empty for a folder
  std::string variant;
  std::filesystem::path folder;
};

/// The variants of a project's lock for a target, each complete and verified in the cache: machine code runs
/// only after its bytes were checked. Errors  no_match: no variant fits; integrity: damaged; not_found: not
/// downloaded yet; io; interrupted.
Result<std::vector<BenchTarget>> locked_bench_targets(const cache::Layout& layout, const LockFiles& files,
                                                      const Target& target, const std::stop_token& stop);

/// The variant of a local folder (`build/<variant>`, a folder with variants, or one variant itself) for a
/// target. Errors  no_match, with the reason for each variant; invalid_argument: no such folder.
Result<BenchTarget> local_bench_target(const std::filesystem::path& folder, const Target& target);

/// What a variant's folder holds, as one number: SHA-256 over the names and contents of its files, hex. The
/// same for the same bytes wherever they are. Bytecode does not count. Errors  io.
Result<std::string> variant_fingerprint(const std::filesystem::path& folder);

}  // namespace kernels::ops
