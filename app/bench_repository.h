#pragma once

#include <optional>
#include <string>

#include "kernels/ops/bench.h"

#include "app.h"
#include "revision_flags.h"

namespace kernels::app {

/// `organisation/name`, or with `@v1`, `@1` or `@revision` behind it. Nothing if it is not the name of a
/// repository. Errors  invalid_argument: a bad revision, or one that the flags name too.
Result<std::optional<std::pair<RepoId, ops::RevisionChoice>>> parse_repository(const std::string& text,
                                                                               const RevisionFlags& flags);

/// The repository's variant for this machine, downloaded if it has to be. Errors  as of
/// `ops::repository_bench_target`; invalid_argument.
Result<ops::BenchTarget> find_repository(const std::pair<RepoId, ops::RevisionChoice>& repository,
                                         const Target& target, const hub::Settings& settings, App& app);

/// The kernels of a lock; those without a workloads.toml with the scripts of their repositories. Errors  as
/// of `ops::locked_bench_targets` and `ops::add_scripts`.
Result<std::vector<ops::BenchTarget>> find_locked(const ops::LockFiles& files, const Target& target,
                                                  const hub::Settings& settings, App& app);

}  // namespace kernels::app
