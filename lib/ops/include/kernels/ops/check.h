#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/model/event.h"
#include "kernels/model/lock.h"
#include "kernels/model/target.h"
#include "kernels/ops/project_files.h"
#include "kernels/resolve/layer_choice.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

/// What `check` says of one kernel on one target.
enum class Verdict {
  runs,        ///< a variant fits, it is complete and untampered, and covers every GPU that is known
  no_variant,  ///< no variant fits the target
  incomplete,  ///< files are missing in the cache
  damaged,     ///< files have other bytes than were locked
  wrong_arch,  ///< the build covers a GPU's capability neither by machine code nor by PTX
};
std::string to_string(Verdict verdict);

struct CheckRow {
  RepoId repo;
  Requirement requirement;
  Commit commit;
  std::string target;
  Verdict verdict = Verdict::runs;
  std::string variant;                       ///< chosen; empty if none fits
  std::vector<resolve::Decision> decisions;  ///< of all variants, best first
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> missing;
  std::vector<std::string> damaged;
  std::vector<std::string> archs;     ///< as the variant's metadata declares them
  std::vector<MajorMinor> uncovered;  ///< GPUs of the target that they do not cover
  bool archs_known = true;            ///< false: there are GPUs, but the metadata does not say
};

/// What the layers of the lock do on one target.
struct LayerRows {
  std::string target;
  std::vector<resolve::LayerDecision> decisions;
};

struct CheckReport {
  std::vector<CheckRow> rows;
  std::vector<LockedLayer> layers;
  std::vector<LayerRows> layer_rows;  ///< one for each target, if the lock has layers
  std::vector<std::string> warnings;
  /// Every kernel runs. Layers play no part: that one runs its own forward may be what the project wants.
  bool good() const;
  /// A layer runs its own forward somewhere, or it cannot be told whether it does.
  bool has_fallback() const;
};

enum class Rehash {
  changed_files,  ///< only files that are not known to be verified
  all_files,
};

struct CheckRequest {
  std::vector<Target> targets;
  Rehash rehash = Rehash::changed_files;
  std::vector<Mode> modes;  ///< for which the layers are looked at; none: layers are left out
};

/// Checks every locked kernel against every target, and decides what every layer does there, from the lock
/// files and the cache alone; makes no request.
///
/// Without `kernels.sum` (a project that only the Python package has locked) the files are those of the
/// cached snapshot, checked against their own names and, in the v1 form, against the locked variant hashes;
/// layers are not known.
/// Errors  io; interrupted; invalid_argument: a mode that no model can be kernelized for.
Result<CheckReport> check_lock(const cache::Layout& layout, const LockFiles& files,
                               const CheckRequest& request, const EventSink& events,
                               const std::stop_token& stop);

}  // namespace kernels::ops
