#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/http.h"
#include "kernels/hub/settings.h"
#include "kernels/model/lock.h"
#include "kernels/model/project.h"
#include "kernels/ops/project_files.h"

namespace kernels::ops {

/// Which pins of an earlier lock may move.
struct Upgrade {
  bool all = false;
  std::set<RepoId> repositories;
  bool includes(const RepoId& repo) const { return all || repositories.contains(repo); }
};

/// A lock with what it took.
struct Resolution {
  Lock lock;
  std::vector<std::string> warnings;
  hub::HttpCounters counters;
};

/// Everything that resolving needs; values are borrowed for the call.
struct ResolveInputs {
  const hub::Settings& settings;
  const Project& project;
  const LockFiles* previous =
      nullptr;  ///< pins that still fit the project are kept, unless `upgrade` names them
  Upgrade upgrade;
  bool locked_only = false;  ///< a kernel without a pin is an error instead of a question to the Hub
  std::string user_agent;
};

/// Resolves every dependency and layer of a project, and the kernels that they need, against the Hub.
///
/// All requests of all kernels are in flight at once; the depth is refs → listing → metadata and layer
/// sources. What a kept pin's `kernels.sum` already says is not asked again: with nothing to do there is no
/// request at all. The layers of the project are checked as far as that is possible without running code. The
/// result is a function of the project and the Hub's answers, not of the order in which they arrive. Errors
/// not_found: repository, version (with those that exist), revision, tag; untrusted; access_denied;
///         network; corrupt, integrity: hostile or broken answers; no_match: no `build/` folder;
///         invalid_argument: kernels that need each other in a circle.
Result<Resolution> resolve_project(const ResolveInputs& inputs, const std::stop_token& stop);

/// Completes a lock of which only `kernels.lock` exists, as the Python package leaves it: the listing and
/// metadata of each pin at its commit. The variant hashes of the v1 form are checked against the listing.
/// `trust` is that of the project file. Errors as above; not_found also for a kernel that another needs and
/// that is not locked; integrity: a variant whose hash differs from the locked one.
Result<Resolution> resolve_pins(const hub::Settings& settings, const LockFiles& files, const Project& project,
                                const std::string& user_agent, const std::stop_token& stop);

hub::HttpOptions http_options(const hub::Settings& settings, const std::string& user_agent);

}  // namespace kernels::ops
