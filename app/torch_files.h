#pragma once

#include <filesystem>

#include "kernels/base/error.h"
#include "kernels/machine/detect.h"

namespace kernels::app {

/// The folder of the libtorch that belongs to the torch that was detected; empty: there is none.
std::filesystem::path torch_folder(const machine::Detected& machine);

/// Makes a target one with the torch that a folder `torch/lib` belongs to: the version is in `version.py` of
/// a Python package, or in `build-version` of libtorch, beside the folder. Errors  invalid_argument: no
/// libtorch there, or neither file.
Status set_torch(Target& target, const std::filesystem::path& folder);

}  // namespace kernels::app
