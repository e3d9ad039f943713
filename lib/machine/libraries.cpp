#include "libraries.h"

#include "kernels/base/elf.h"

#include "texts.h"

namespace kernels::machine {

namespace fs = std::filesystem;

static std::optional<ElfFile> read_library(const Sysroot& sysroot, const fs::path& file) {
  auto place = sysroot.on_disk(file);
  if (!place) return std::nullopt;
  auto source = open_file_source(*place);
  if (!source) return std::nullopt;
  auto elf = read_elf(**source);
  if (!elf) return std::nullopt;
  return std::move(*elf);
}

std::optional<std::string> processor_of(const Sysroot& sysroot, const fs::path& file) {
  auto elf = read_library(sysroot, file);
  if (!elf) return std::nullopt;
  switch (elf->machine) {
    case 21:
      return "ppc64le";
    case 62:
      return "x86_64";
    case 183:
      return "aarch64";
    case 243:
      return "riscv64";
    default:
      return std::nullopt;
  }
}

std::vector<std::string> defined_versions(const Sysroot& sysroot, const fs::path& file) {
  auto elf = read_library(sysroot, file);
  return elf ? std::move(elf->versions_defined) : std::vector<std::string>();
}

}  // namespace kernels::machine
