#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/model/target.h"
#include "kernels/ops/check.h"
#include "kernels/ops/download.h"
#include "kernels/ops/query.h"

namespace kernels::ops {

/// A variant's folder that may be measured, and what it is.
struct BenchTarget {
  std::string kernel;  ///< repository, or the folder that was given
  std::string commit;  ///< empty for a folder
  std::string variant;
  std::filesystem::path folder;
  /// The repository whose `benchmarks/` may be run. Empty: none, as long as nobody has checked these files: a
  /// lock says nothing of them.
  std::filesystem::path scripts = {};
  /// The other kernels of the same lock, by their repositories: those that this one needs are among them.
  std::map<std::string, std::filesystem::path> needs = {};
};

/// The variants of a project's lock for a target, each complete and verified in the cache: machine code runs
/// only after its bytes were checked. Errors  no_match: no variant fits; integrity: damaged; not_found: not
/// downloaded yet; io; interrupted.
Result<std::vector<BenchTarget>> locked_bench_targets(const cache::Layout& layout, const LockFiles& files,
                                                      const Target& target, const std::stop_token& stop);

/// The variant of a local folder (`build/<variant>`, a folder with variants, or one variant itself) for a
/// target. Errors  no_match, with the reason for each variant; invalid_argument: no such folder.
Result<BenchTarget> local_bench_target(const std::filesystem::path& folder, const Target& target);

/// What `bench REPO` needs to know; values are borrowed for the call.
struct BenchRepository {
  QueryInputs inputs;
  SignatureRules signatures = {};
  cache::Links links = cache::Links::symlinks;
};

/// A repository on the Hub: its publisher must be one that the Hub trusts, what is missing of the variant for
/// the target, of the kernels that it needs and of `benchmarks/` is downloaded as `download` does, and
/// everything is held against the Hub's listing. Offline it is what the cache has, held against its own
/// names. Errors  as of `resolve_project`, `download` and `locked_bench_targets`; integrity: files in
/// `benchmarks/` that the
///         repository does not have.
Result<BenchTarget> repository_bench_target(const BenchRepository& request, const RepoId& repo,
                                            const RevisionChoice& choice, const Target& target,
                                            const EventSink& events, const std::stop_token& stop);

/// Fetches `benchmarks/` of a locked kernel at its commit, as far as it has one, and checks it as above.
/// Errors  as of `download`; integrity.
Status add_scripts(const BenchRepository& request, BenchTarget& target, const EventSink& events,
                   const std::stop_token& stop);

/// What a variant's folder holds, as one number: SHA-256 over the names and contents of its files, hex. The
/// same for the same bytes wherever they are. Bytecode does not count. Errors  io.
Result<std::string> variant_fingerprint(const std::filesystem::path& folder);

}  // namespace kernels::ops
