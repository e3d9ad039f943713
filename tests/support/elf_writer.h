#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kernels::test {

/// A symbol of a shared object that is made. Defined ones have a value, undefined ones a place where they are
/// looked for; a version is one of those that the object defines or needs.
struct ElfSymbol {
  std::string name;
  bool is_defined = true;
  bool is_weak = false;
  std::string version = {};
};

/// What an object needs of one library: the versions by name.
struct ElfNeed {
  std::string library;
  std::vector<std::string> versions = {};
};

/// A 64-bit little-endian shared object that is described.
struct ElfDescription {
  std::uint16_t machine = 62;  ///< 62 x86-64, 183 AArch64
  std::string soname = {};
  std::vector<ElfNeed> needs = {};
  std::vector<std::string> defined_versions = {};  ///< besides that of the file itself
  std::vector<ElfSymbol> symbols = {};
  std::string run_path = {};
  bool bind_now = false;
  std::uint32_t segment_flags = 4;  ///< of the one segment: 1 execute, 2 write, 4 read
  std::uint32_t stack_flags = 6;    ///< of PT_GNU_STACK
  std::string data = {};            ///< stands in the segment too, at a multiple of 8
};

/// The bytes of the object: headers, one segment that holds all, a dynamic section with names, symbols, their
/// versions, version needs and definitions. There are no sections and no code: what reads objects by their
/// program headers, as the loader does, reads it; nothing can be called.
std::string write_elf(const ElfDescription& description);

}  // namespace kernels::test
