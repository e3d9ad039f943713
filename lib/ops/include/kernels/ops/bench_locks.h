#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/bench/contest.h"
#include "kernels/ops/bench.h"

// What the update from one lock to another costs on this machine.

namespace kernels::ops {

/// Whether a text is a `kernels.lock` rather than results of `bench`: by its first sign, since both are JSON,
/// one a list and the other an object.
bool looks_like_lock(std::string_view text);

/// A `kernels.lock` under any name, with the `.sum` beside it where that belongs to it.
/// Errors  not_found; io; invalid_argument: not a lock, or a damaged one.
Result<LockFiles> load_lock(const std::filesystem::path& file);

/// A kernel in two versions, both there for this machine.
struct ChangedKernel {
  BenchTarget before;
  BenchTarget after;
};

/// By kernel, in the order of the new lock.
struct LockChanges {
  std::vector<ChangedKernel> changed;
  std::vector<std::string> same_commit;
  std::vector<std::string> same_bytes;  ///< other commits, and the same variant byte for byte
  std::vector<BenchTarget> added;
  std::vector<std::string> removed;
};

/// Kernels are the same when their repository is; one that a lock has several times, in the order of the
/// lock. Errors  not_found: a commit of a changed kernel is not in the cache, or not complete; no_match: no
/// variant of it fits; integrity; io; interrupted.
Result<LockChanges> compare_locks(const cache::Layout& layout, const LockFiles& before,
                                  const LockFiles& after, const Target& target, const std::stop_token& stop);

/// Both versions of one function, or the only one that there is: what `bench_contest` measures in turns.
struct VersionPair {
  std::vector<bench::Contender> contenders;
  std::vector<bool> is_new;  ///< by contender
};

/// The functions of both versions at the workloads of each, as the filters of the options leave them.
/// Errors  of `open_measurable`; invalid_argument: a shape by hand that a version cannot have.
Result<std::vector<VersionPair>> version_pairs(const ChangedKernel& kernel,
                                               const bench::BenchOptions& options);

}  // namespace kernels::ops
