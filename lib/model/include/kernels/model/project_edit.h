#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/project.h"

namespace kernels {

/// The rows of a project that decide for a layer on one device, one for each mode that is registered there,
/// in the order of the modes: of the narrowest range that holds the capability, of rows that are there twice
/// the last one. Without a capability: those that are for all of them. Empty: the layer is not mapped there.
/// The pointers are into `project`.
std::vector<const ProjectLayer*> rows_in_effect(const Project& project, std::string_view layer,
                                                DeviceType device, std::optional<std::uint32_t> capability);

/// A kernel that was chosen for a layer on one device.
struct LayerSelection {
  std::string layer;
  DeviceType device = DeviceType::cuda;
  std::optional<std::uint32_t> capability;  ///< where the device has one: 90 for 9.0
  Mode mode = Mode::fallback;               ///< one that is registered there now
  RepoId repo;
  std::string kernel_layer;
  Requirement requirement;
  bool trust = false;
  std::vector<std::string> evidence = {};  ///< why: a comment line each
};

/// What begins each line of evidence in a project file.
inline constexpr std::string_view kEvidenceMark = "# kernels bench --select: ";

/// The text of a project file in which the layer has this kernel on the device, for this mode and for exactly
/// this capability; what every other layer, device, mode and capability has stays. A row for exactly the
/// capability is changed where it stands; else rows for it are added beside the others, one for each mode
/// that is registered, because of several ranges only the narrowest is looked at. Comments, order and layout
/// stay; lines of evidence that an earlier selection wrote above the row are replaced.
/// The new text has been parsed again and means that.
/// Errors  as of `parse_project`; invalid_argument: no capability where the device has one; the layer is not
/// mapped there, or it is written in a form that
///         cannot be changed (dotted keys), with what to write by hand.
Result<std::string> select_layer(std::string_view text, ProjectFormat format, const std::string& file,
                                 const LayerSelection& selection);

}  // namespace kernels
