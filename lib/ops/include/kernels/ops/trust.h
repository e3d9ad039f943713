#pragma once

#include <string>

#include "kernels/base/error.h"
#include "kernels/model/lock.h"
#include "kernels/model/project.h"

namespace kernels::ops {

/// Whether what a lock records about the publisher of a kernel still holds, in words.
struct TrustJudgement {
  bool holds = true;
  std::string text;  ///< why the publisher is trusted, or what no longer says so
  std::string hint;  ///< what to do; empty if it holds
};

/// Compares the record with the project file. That the Hub trusts a publisher is the Hub's word at the time
/// of locking, which a project cannot take back; what the project said then it must still say. Without a
/// project file (an image build, a lock alone) the record decides. Makes no request.
///
/// `trust = true` at a dependency speaks for that repository and, if it has moved, for another repository of
/// the same publisher; never for somebody else to whom it was redirected.
TrustJudgement judge_trust(const LockedKernel& kernel, const Project* project);

/// All kernels of a lock. Errors  untrusted: the first whose record does not hold.
Status check_trust(const Lock& lock, const Project* project);

/// `[trust] publishers` has the name.
bool names_publisher(const Project& project, const std::string& publisher);
/// `trust = true` stands at the dependency or at a layer of this name.
bool trusts_repository(const Project& project, const RepoId& repo);

}  // namespace kernels::ops
