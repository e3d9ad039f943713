#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/model/target.h"
#include "kernels/resolve/version_variants.h"

namespace kernels::resolve {

/// What would make a kernel run, or run well, on a target; or that nothing would.
struct Advice {
  enum class Kind {
    change,     ///< what to install, or which version of the kernel to take; `decide` accepts the result
    statement,  ///< there is no such build: no software that can be installed helps
  };
  /// One thing to change: a key of a target's description (`torch`, `cuda`, …) with its value, or `version`
  /// of the kernel, or `python` with the value `gil`.
  struct Change {
    std::string key;
    std::string value;
    bool operator==(const Change&) const = default;
  };

  Kind kind = Kind::change;
  std::vector<Change> changes;                  ///< empty for a statement
  std::size_t index = 0;                        ///< of the versions given, the one that has the variant
  std::optional<std::uint64_t> kernel_version;  ///< its number
  Target target;                                ///< with the changes made
  std::string variant;                          ///< what is chosen then; empty for a statement
  std::string text;                             ///< for people, one line
};

/// The nearest changes for a target that one version of a kernel does not serve well:
///
/// 1. nothing of it fits;
/// 2. the variant that it would choose declares no code for a GPU of the target;
/// 3. it would choose a Python-only variant although it has compiled ones for this platform and backend.
///
/// Every variant of every version says what it would need; what can be installed in one go (a torch is built
/// for one CUDA and one C++ ABI) counts as one step. Only advice with the fewest steps is given, at most
/// four, in this order: a stable-ABI build of another version; one property of the target, small ones first;
/// another version; several. Another operating system, CPU or GPU is never advised; that no build for the
/// present one exists is a statement. In case 3 only the version asked about is looked at.
///
/// `versions` all that exist, in order of their numbers; `asked` is the one asked about.
/// Returns nothing if the version serves the target. The result depends on the sets of variants, not on their
/// order. Source of acceptance: `decide`. Cost: that of a few hundred calls of `decide` at most.
std::vector<Advice> nearest_changes(const std::vector<VersionVariants>& versions, std::size_t asked,
                                    const Target& target);

/// `change`, `statement`.
std::string to_string(Advice::Kind kind);

}  // namespace kernels::resolve
