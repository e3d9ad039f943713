#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/layer.h"
#include "kernels/model/metadata.h"
#include "kernels/model/project.h"
#include "kernels/model/repo.h"

namespace kernels {

/// The two forms of `kernels.lock`. v1: what the Python package wrote up to 0.16, with a hash for each torch
/// variant. v2: what it writes since 0.17, pins only, dependencies of kernels included.
enum class LockForm { v1, v2 };
std::string to_string(LockForm form);

/// One variant of a locked kernel. A plain file directly below `build/` counts as a variant of its name, as
/// it does for the Python package; its name does not parse and no machine can choose it.
struct LockedVariant {
  std::string name;
  std::vector<FileEntry> files;      ///< paths from the repository's root, sorted, without bytecode
  std::optional<Metadata> metadata;  ///< nothing for a variant without `metadata.json`
};

enum class TrustSource {
  hub,         ///< the Hub marks the publisher as trusted
  project,     ///< `[trust] publishers` names it
  dependency,  ///< `trust = true` stands at the dependency
};
std::string to_string(TrustSource source);

/// One kernel at one commit, with everything that a download needs to know.
struct LockedKernel {
  RepoId repo;              ///< where the files are: the destination, if the repository was redirected
  Requirement requirement;  ///< what was asked of it
  Commit commit;
  std::string ref;  ///< branch or tag that led to the commit; the commit itself if that was asked
  bool ref_is_tag = false;
  std::optional<RepoId> asked_for;  ///< the name in the project file, if it differs (redirect)
  std::string hub_name;             ///< the Hub's present name, if the repository was renamed; else empty
  bool direct = false;              ///< named by the project itself, not only by another kernel
  TrustSource trust = TrustSource::hub;
  std::vector<LockedVariant> variants;  ///< in the order of the Hub's listing
};

/// What the text of a kernel's layer source says about a layer, without running it.
struct LayerFacts {
  std::optional<bool> has_backward;       ///< nothing: the text does not tell
  std::optional<bool> can_torch_compile;  ///< nothing: the text does not tell
  /// Parameters of `forward`, `self` included, in order; `*name` and `**name` as Python writes them. Nothing:
  /// the text does not tell.
  std::optional<std::vector<std::string>> forward;
  auto operator<=>(const LayerFacts&) const = default;
};

/// A row of the layer mapping with what it resolved to.
struct LockedLayer {
  std::string layer;
  DeviceType device = DeviceType::cuda;
  Mode mode = Mode::fallback;
  CapabilityRange capabilities;
  RepoId repo;
  Commit commit;
  std::string kernel_layer;
  std::optional<LayerFacts> facts = {};  ///< nothing: a `kernels.sum` of an older program, which did not look
  auto operator<=>(const LockedLayer&) const = default;
};

/// What a project's kernels resolved to: the content of `kernels.lock` and `kernels.sum` together.
struct Lock {
  std::vector<LockedKernel>
      kernels;                      ///< direct ones in the order of the project file, then the others by name
  std::vector<LockedLayer> layers;  ///< in the order of the project file
};

/// The exact bytes that the Python package would write; no newline at the end.
/// v1 holds the direct kernels in their order, with the hash of every variant whose folder begins with
/// `torch`. v2 holds all kernels, sorted by name, versions before revisions. A specifier is written as the
/// tag it chose.
std::string render_lock(const Lock& lock, LockForm form);

/// `kernels.sum`: JSON of schema `kernels.sum/1`, one file of a kernel a line, ending with a newline.
/// `lock_text` is the content of the `kernels.lock` that it belongs to; its SHA-256 goes in.
/// A layer has `has_backward`, `can_torch_compile` and `forward`, each `null` where the layer source does not
/// tell; all three are absent in a row without facts.
std::string render_sum(const Lock& lock, std::string_view lock_text);

/// One entry of `kernels.lock`, in either form.
struct LockPin {
  RepoId repo;
  std::optional<Requirement> requirement;  ///< v2 only
  Commit commit;
  std::vector<std::pair<std::string, std::string>> variant_hashes;  ///< v1 only: variant → "sha256-…"
};
struct LockPins {
  LockForm form = LockForm::v2;
  std::vector<LockPin> pins;
};

/// Errors  corrupt, with line and column or the entry: bad JSON, merge-conflict markers, keys given twice,
///         unknown keys where the Python package refuses them, a dependency given twice, a mixture of forms.
Result<LockPins> parse_lock(std::string_view json, const std::string& what);

struct SumFile {
  std::string lock_sha256;  ///< of the kernels.lock that it belongs to
  Lock lock;
};
/// Errors  corrupt; integrity for hostile names; unsupported for a schema of a newer program.
Result<SumFile> parse_sum(std::string_view json, const std::string& what);

/// What changed between two locks, one line each, for people: `+` added, `-` removed, `~` changed.
std::vector<std::string> diff_locks(const Lock& before, const Lock& after);

}  // namespace kernels
