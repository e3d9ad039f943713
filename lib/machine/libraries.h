#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/machine/sysroot.h"

namespace kernels::machine {

/// The processor that an ELF file is for: `x86_64`, `aarch64`, … Nothing for other files.
std::optional<std::string> processor_of(const Sysroot& sysroot, const std::filesystem::path& file);

/// The newest version of a family that a shared library defines: `2.36` of `GLIBC_`. Nothing if it is not
/// such a library.
std::optional<std::string> newest_defined(const Sysroot& sysroot, const std::filesystem::path& file,
                                          std::string_view prefix);

}  // namespace kernels::machine
