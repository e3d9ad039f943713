#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/range_source.h"
#include "kernels/model/event.h"
#include "kernels/model/lock.h"
#include "kernels/model/project.h"
#include "kernels/model/target.h"
#include "kernels/ops/inspect.h"
#include "kernels/ops/project_files.h"
#include "kernels/ops/query.h"
#include "kernels/ops/signatures.h"
#include "kernels/resolve/advice.h"
#include "kernels/resolve/layer_choice.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

/// What `check` says of one kernel on one target, the best first.
enum class Verdict {
  runs,         ///< a variant fits, is complete and untampered, and its code runs on every GPU that is known
  after_jit,    ///< it runs once the driver has compiled PTX for the GPU
  at_run_time,  ///< its GPU code is made when it first runs (Triton and others): only running it tells
  no_gpu_code,  ///< a build for a GPU in whose binaries no GPU code was found
  not_read,     ///< its GPU code is of a kind that is recognised and not read
  partly,       ///< some of its functions would not run
  would_not,    ///< it would not load or not run
  no_variant,   ///< no variant fits the target
  incomplete,   ///< files are missing
  damaged,      ///< files have other bytes than were locked, or than their metadata says
};
std::string to_string(Verdict verdict);
/// Whether nothing was found that keeps it from running.
bool is_good(Verdict verdict);

/// What a row was checked for.
enum class Aspect { variant, publisher, files, signature, gpu_code, driver, abi, python, metadata };
std::string to_string(Aspect aspect);

enum class State {
  good,
  warning,  ///< works here; something is not as it should be
  bad,      ///< keeps the kernel from running
  unknown,  ///< could not be told
  none,     ///< does not apply
};
std::string to_string(State state);

/// What was found about one aspect.
struct CheckItem {
  Aspect aspect = Aspect::variant;
  State state = State::none;
  std::string brief;  ///< for a table: a word or two
  std::string text;   ///< for people, one line
  std::string hint;   ///< what to do; may be empty
};

/// One kernel on one target.
struct CheckRow {
  std::string kernel;  ///< repository, folder or file
  std::optional<RepoId> repo;
  std::string revision;  ///< short: `v1`; empty for paths
  std::string commit;    ///< empty for paths
  std::string target;
  Verdict verdict = Verdict::runs;
  Verdict gpu_code = Verdict::runs;          ///< what its GPU code alone comes to
  std::string variant;                       ///< chosen; empty if none fits
  std::vector<resolve::Decision> decisions;  ///< of all variants, best first
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> missing;
  std::vector<std::string> damaged;
  std::vector<CheckItem> items;  ///< in the order of `Aspect`; those that were looked at
  std::optional<verify::VariantVerification> signature;  ///< none: not looked at
  std::vector<std::string> archs;       ///< what the binaries hold; without them what the metadata declares
  std::vector<MajorMinor> uncovered;    ///< GPUs of the target for which there is no code
  std::vector<resolve::Advice> advice;  ///< where no variant fits
  std::vector<inspect::Finding> findings;  ///< about its libraries and its metadata, whatever the target

  const CheckItem* item(Aspect aspect) const;
  /// Nothing says that its publisher should not have been locked, or that a required signature is not good.
  bool is_trusted() const;
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
  hub::RangeCounters fetched;  ///< from the Hub, for a remote kernel
  /// Nothing keeps any kernel from running. Layers play no part: that one runs its own forward may be what
  /// the project wants.
  bool good() const;
  /// A layer runs its own forward somewhere, or it cannot be told whether it does.
  bool has_fallback() const;
};

enum class Rehash {
  changed_files,  ///< only files that are not known to be verified
  all_files,
};

/// What is judged against.
struct CheckRequest {
  std::vector<Target> targets;
  Rehash rehash = Rehash::changed_files;
  std::vector<Mode> modes;  ///< for which the layers are looked at; none: layers are left out
  SignatureRules signatures = {};
  const Project* project = nullptr;  ///< what the lock records about trust must still hold here; may be null
  /// Folders with the Python packages of this machine, for targets named `this machine`. None: not known.
  std::vector<std::filesystem::path> python_packages;
};

/// Checks every locked kernel against every target, and decides what every layer does there, from the lock
/// files and the cache alone; makes no request. The libraries of the chosen variants are read, not loaded.
///
/// Without `kernels.sum` (a project that only the Python package has locked) the files are those of the
/// cached snapshot, checked against their own names and, in the v1 form, against the locked variant hashes;
/// layers are not known.
/// Errors  io; interrupted; invalid_argument: a mode that no model can be kernelized for.
Result<CheckReport> check_lock(const cache::Layout& layout, const LockFiles& files,
                               const CheckRequest& request, const EventSink& events,
                               const std::stop_token& stop);

/// Checks a kernel on the Hub without downloading it: what decides is read by range requests. One that the
/// cache holds is read there. Errors  as of `list_variants`.
Result<CheckReport> check_repository(const QueryInputs& inputs, const RepoId& repo,
                                     const RevisionChoice& choice, const CheckRequest& request,
                                     const std::stop_token& stop);

/// Checks a folder with builds, the folder of one variant, or a single library. Files are compared with the
/// digest in `metadata.json` where it has one. Errors  not_found; io.
Result<CheckReport> check_path(const std::filesystem::path& path, const CheckRequest& request,
                               const std::stop_token& stop);

}  // namespace kernels::ops
