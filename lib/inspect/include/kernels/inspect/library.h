#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"
#include "kernels/base/error.h"
#include "kernels/inspect/gpu_code.h"

namespace kernels::inspect {

/// What a file is, from its first bytes.
enum class FileKind {
  elf,         ///< a library, program or object of Linux
  fat_binary,  ///< a bare container of GPU code
  mach_o,      ///< of macOS; recognised, not read
  windows,     ///< a DLL or program of Windows; recognised, not read
  metal,       ///< a library of Metal; recognised, not read
  amd_bundle,  ///< a bundle of AMD code objects; recognised, not read
  archive,     ///< `ar`, as static libraries are; recognised, not read
  other,
};
std::string to_string(FileKind kind);

/// The newest version of one family (`GLIBC`, `GLIBCXX`, …) that a library asks for.
struct NewestVersion {
  std::string family;
  std::string version;  ///< `2.17`; of names without numbers (`PRIVATE`) that name
  std::string library;  ///< that is to have it
  std::string symbol;   ///< one that needs it; empty if no symbol says so
  bool operator==(const NewestVersion&) const = default;
};

/// What is inside a library, as far as it tells whether and where it can be loaded.
struct LibraryFacts {
  std::uint64_t size = 0;
  FileKind kind = FileKind::other;
  std::optional<ElfFile> elf;
  std::vector<NewestVersion> versions;         ///< sorted by family; names without numbers each apart
  std::vector<std::string> tvm_ffi_functions;  ///< exported, without prefix, sorted
  std::vector<std::string> python_modules;     ///< that it can be imported as: `PyInit_<name>`
  std::vector<std::string> python_symbols;     ///< undefined, of Python's C interface
  std::vector<std::string> torch_symbols;      ///< undefined, of torch: C functions, and mangled C++ names
  std::vector<std::string> tvm_ffi_symbols;    ///< undefined, of tvm-ffi
  bool has_unique_symbols = false;
  GpuCode gpu;
};

/// Reads a file of any kind without loading it. Kinds that are not read have only `size` and `kind`.
/// Errors   corrupt, unsupported: as of `read_elf` and `read_gpu_code`; io, network: as of the source.
/// Cost     headers, the tables of dynamic symbols, and one small read for each image of GPU code.
Result<LibraryFacts> read_library(ByteSource& source);

/// Whether an undefined C++ name belongs to torch's C++ interface, which is bound to one version of torch:
/// anything in the namespaces `c10`, `at` and `torch`, except `torch::stable` and `torch::headeronly`.
/// Source  Itanium C++ ABI, 5.1 "External Names".
bool is_unstable_torch_name(std::string_view mangled);

}  // namespace kernels::inspect
