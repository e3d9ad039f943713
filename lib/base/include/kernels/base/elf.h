#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/byte_source.h"
#include "kernels/base/error.h"

namespace kernels {

enum class ElfType { relocatable, executable, shared, core, other };

/// Whether a file asks for a stack that can be executed. Unstated: it has no PT_GNU_STACK header, which
/// loaders on x86-64 take for a yes.
enum class ExecutableStack { no, yes, unstated };

/// A version that a file asks of a library: {"libc.so.6", "GLIBC_2.17"}.
struct ElfVersionNeed {
  std::string library;
  std::string version;
  bool is_weak = false;  ///< its absence is only warned of
  auto operator<=>(const ElfVersionNeed&) const = default;
};

struct ElfSection {
  std::string name;
  std::uint32_t type = 0;
  ByteExtent bytes;  ///< empty for sections without content in the file
};

/// A symbol that the loader has to find in another library.
struct ElfUndefined {
  std::string name;
  std::string version;   ///< `GLIBC_2.17`; empty if it asks for none
  bool is_weak = false;  ///< may stay missing
};

/// Where the tables of the dynamic section are. For the functions below.
struct ElfTables {
  ByteExtent symbols;  ///< whole entries of 24 bytes
  ByteExtent names;
  std::optional<ByteExtent> symbol_versions;
  std::vector<std::pair<std::uint16_t, std::string>> version_names;  ///< by index, sorted
};

/// What an ELF file says of itself in its headers and its dynamic section.
struct ElfFile {
  ElfType type = ElfType::other;
  std::uint16_t machine = 0;  ///< 62 x86-64, 183 AArch64, 190 CUDA
  std::uint32_t flags = 0;    ///< e_flags
  bool has_dynamic = false;   ///< relocatable files and static programs have none
  std::string soname;
  std::vector<std::string> needed;        ///< DT_NEEDED, in order
  std::optional<std::string> run_path;    ///< DT_RUNPATH
  std::optional<std::string> old_r_path;  ///< DT_RPATH
  bool bind_now = false;                  ///< every symbol must be there when it is loaded
  bool has_text_relocations = false;
  bool has_writable_code = false;  ///< a segment that can be both written and executed
  ExecutableStack executable_stack = ExecutableStack::unstated;
  std::vector<ElfVersionNeed> versions_needed;
  std::vector<std::string> versions_defined;  ///< without that of the file itself
  std::vector<ElfSection> sections;     ///< empty if there is no table of sections, or none that can be read
  bool sections_unreadable = false;     ///< there should be a table, but it is damaged
  std::vector<ByteExtent> loaded_data;  ///< what the loaded segments hold that cannot be executed
  ElfTables tables;

  const ElfSection* section(std::string_view name) const;
};

/// Reads headers, dynamic section and versions, from program headers alone: stripped files are read as well
/// as others. The table of sections is read too where there is one, and a damaged one is only noted.
///
/// Errors  corrupt: no ELF file, or one with tables that leave it; unsupported: not 64-bit little-endian, or
///         more of something than any library has (65,536 dynamic entries, 8,192 versions).
/// Cost    some reads of a few kilobytes each, whatever the size of the file.
/// Source  the ELF-64 object file format and the generic ABI's chapters 4 and 5; GNU extensions of the
///         Linux Standard Base, "Symbol Versioning".
Result<ElfFile> read_elf(ByteSource& source);

/// The symbols that others must provide, in the order of the file.
/// Errors  corrupt; unsupported: more than 4 million symbols, or names of more than 8 MiB in all.
Result<std::vector<ElfUndefined>> undefined_symbols(ByteSource& source, const ElfFile& file);

/// The names of symbols that the file defines and that begin with one of `prefixes` (none: all), sorted.
/// Reads the table of names in order, because it can be far larger than what is wanted of it. Errors as
/// above.
Result<std::vector<std::string>> exported_symbols(ByteSource& source, const ElfFile& file,
                                                  std::span<const std::string_view> prefixes);

/// Whether the file exports symbols of the kind STB_GNU_UNIQUE, which can never be unloaded and are shared
/// between all libraries of a process that have one of that name.
Result<bool> has_unique_symbols(ByteSource& source, const ElfFile& file);

}  // namespace kernels
