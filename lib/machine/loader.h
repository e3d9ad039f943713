#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/machine/sysroot.h"

namespace kernels::machine {

/// The folders in which the dynamic loader of the machine looks: those of /etc/ld.so.conf.d, then the
/// system's own.
std::vector<std::filesystem::path> loader_folders(const Sysroot& sysroot);

/// The first file of this name there, as the machine names it.
std::optional<std::filesystem::path> find_library(const Sysroot& sysroot, std::string_view name);

}  // namespace kernels::machine
