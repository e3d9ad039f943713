#pragma once

// What can be known about a project's layers at lock time, from files of the locked commits and without
// running code. Not part of the public interface.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/inspect/layer_source.h"
#include "kernels/model/lock.h"
#include "kernels/model/native_layers.h"
#include "kernels/model/project.h"

namespace kernels::ops {

/// Where the variants of a kernel that a device can use declare their layers.
struct LayerFiles {
  /// Python layer sources, each content once, in the order of the variants' names. Variants of one kernel
  /// nearly always share theirs, so this is one small file.
  std::vector<FileEntry> python;
  std::vector<FileEntry> native;  ///< native declarations, `layers.toml`, each content once
  bool any_variant = false;       ///< the device can use a variant at all
  std::string cannot_be_read;     ///< why the sources are not asked for: too long, too many; else empty
};

/// `repo` gives the name of the module's folder in the older layout, `build/<variant>/<module>/layers.py`.
LayerFiles find_layer_files(const std::vector<LockedVariant>& variants, const RepoId& repo,
                            DeviceType device);

/// Layer sources and native declarations by the identity of their content, each read once.
class LayerSources {
 public:
  void add(const FileEntry& file, std::string_view text);
  /// Nothing if it was not added.
  const Result<inspect::LayerSource>* find(const BlobId& blob) const;
  const Result<NativeLayers>* find_native(const BlobId& blob) const;

 private:
  std::map<BlobId, Result<inspect::LayerSource>> sources_;
  std::map<BlobId, Result<NativeLayers>> native_;
};

struct CheckedLayer {
  LayerFacts facts;
  std::vector<std::string> warnings;
};

/// Whether the layer exists, supports the mode that it is registered for, and is pure. What the files do not
/// tell is no error. `variants` are those of the layer's kernel, which is at `repo` now.
/// Errors  not_found: no such layer, with those that exist; invalid_argument: as of `check_layer_mode`.
Result<CheckedLayer> check_layer(const ProjectLayer& layer, const std::vector<LockedVariant>& variants,
                                 const RepoId& repo, const LayerSources& sources);

/// Whether all kernels for one layer can stand in for the same `forward`: as many parameters each, where that
/// is known and none takes any number. `layers` are the rows of the project, `locked` what they resolved to,
/// in the same order. Errors  invalid_argument: two rows that differ, both named.
Status check_same_forward(const std::vector<ProjectLayer>& layers, const std::vector<LockedLayer>& locked);

/// Errors  invalid_argument: registered for training without backward, or for `torch.compile` without
/// support.
Status check_layer_mode(const ProjectLayer& layer, const LayerFacts& facts, const RepoId& repo);

}  // namespace kernels::ops
