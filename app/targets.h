#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/machine/detect.h"
#include "kernels/model/project.h"
#include "kernels/model/target.h"

#include "app.h"

namespace kernels::app {

/// The targets that a command's flags mean: those named, all of the project file, or this machine.
struct TargetFlags {
  std::vector<std::string> names;
  bool all = false;
};
/// `project` may be null where a command works without one.
Result<std::vector<Target>> select_targets(const TargetFlags& flags, const Project* project, App& app);

/// This machine; if it has GPUs of several capabilities, one target for each of them.
std::vector<Target> targets_of(const machine::Detected& machine);

}  // namespace kernels::app
