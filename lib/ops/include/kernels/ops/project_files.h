#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/base/error.h"
#include "kernels/model/lock.h"
#include "kernels/model/project.h"

namespace kernels::ops {

/// Reads `kernels.toml`, or `[tool.kernels]` of `pyproject.toml`, from a folder.
/// Errors  not_found: neither file is there; invalid_argument: both have dependencies, or see
/// `parse_project`.
Result<Project> load_project(const std::filesystem::path& folder);

/// The same for commands that can do without: nothing if neither file is there, or no such folder.
/// Errors  invalid_argument: a file that cannot be read as a project. It may hold rules about trust, so it is
/// never taken for missing.
Result<std::optional<Project>> find_project(const std::filesystem::path& folder);

/// The lock files of a project as they are on disk.
struct LockFiles {
  std::filesystem::path folder;
  std::string lock_text;  ///< of `kernels.lock`
  LockPins pins;
  std::optional<Lock>
      sum;  ///< of `kernels.sum`, which belongs to this `kernels.lock`; nothing if there is none
};

/// Nothing if there is no `kernels.lock`.
/// Errors  invalid_argument: a damaged file; integrity: hostile names, or a `kernels.sum` that belongs to
/// another
///         `kernels.lock`.
Result<std::optional<LockFiles>> load_lock_files(const std::filesystem::path& folder);

/// Writes both files: `kernels.sum` first, which names the digest of its `kernels.lock`, so that a torn pair
/// is seen by the next reader. Files whose content would not change are left alone.
Status write_lock_files(const std::filesystem::path& folder, const Lock& lock, LockForm form);

}  // namespace kernels::ops
