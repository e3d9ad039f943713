#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/machine/sysroot.h"

namespace kernels::machine {

/// The processor that an ELF file is for: `x86_64`, `aarch64`, … Nothing for other files.
std::optional<std::string> processor_of(const Sysroot& sysroot, const std::filesystem::path& file);

/// The names of the versions that a shared library defines: `GLIBC_2.36`, … None if it is not such a library.
std::vector<std::string> defined_versions(const Sysroot& sysroot, const std::filesystem::path& file);

}  // namespace kernels::machine
