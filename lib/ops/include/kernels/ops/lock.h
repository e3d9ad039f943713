#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/settings.h"
#include "kernels/model/lock.h"
#include "kernels/model/target.h"
#include "kernels/ops/resolver.h"
#include "kernels/resolve/advice.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

enum class WriteLock { yes, no };

struct LockRequest {
  const hub::Settings& settings;
  std::filesystem::path folder;
  WriteLock write = WriteLock::yes;
  Upgrade upgrade;
  std::optional<LockForm> form;  ///< none: that of the present file, or the newest
  std::vector<std::string>
      target_names;          ///< targets that must find a variant of every kernel; also descriptions
  bool all_targets = false;  ///< all `[targets]` of the project file
  std::string user_agent;
};

/// A kernel of which a target would find no usable variant: none fits, or the one that it would choose
/// declares no code for a GPU of the target.
struct TargetGap {
  std::string target;
  RepoId repo;
  std::vector<resolve::Decision> decisions;  ///< best first
  std::vector<MajorMinor> uncovered;         ///< the GPUs without code, where a variant fits
  std::vector<resolve::Advice> advice;       ///< the nearest changes; never empty
};

struct LockReport {
  Lock lock;
  LockForm form = LockForm::v2;
  bool changed = false;              ///< the files on disk differ from what the lock says now
  std::vector<std::string> changes;  ///< `diff_locks` against what was there
  std::vector<std::string> warnings;
  std::vector<TargetGap> gaps;
  hub::HttpCounters counters;
};

/// Resolves a project and writes its lock files, or says what would change.
/// A lock with gaps is not written; for its advice the Hub is asked for the other versions of those kernels.
/// Errors as of `resolve_project`, and io; invalid_argument: all targets of a project that has none.
Result<LockReport> lock_project(const LockRequest& request, const std::stop_token& stop);

/// The target of this name in the project file, or a description such as `os=linux,cuda=13.0`.
/// Errors  invalid_argument, with the names that exist.
Result<Target> find_target(const Project& project, const std::string& text);

}  // namespace kernels::ops
