#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kernels::test {

enum class Pack { raw, lz4, zstd };

/// One image of GPU code that is described. Machine code is a small ELF file with a section for each
/// function, PTX a text with an entry for each.
struct ImageDescription {
  std::uint16_t kind = 2;  ///< 1 PTX, 2 machine code, 8 for the linker
  std::uint32_t arch = 90;
  char suffix = '\0';                          ///< `a`, `f` or none
  std::vector<std::string> functions = {"f"};  ///< none: an empty image
  Pack pack = Pack::raw;
  std::uint16_t major = 9;  ///< of PTX
  std::uint16_t minor = 0;
  bool is_relocatable = false;
};

/// The payload of an image before it is packed.
std::string write_payload(const ImageDescription& image);
/// The bytes of one container.
std::string write_fat_binary(const std::vector<ImageDescription>& images);
/// Containers one after the other, each at a multiple of 8.
std::string write_fat_binaries(const std::vector<std::vector<ImageDescription>>& containers);

}  // namespace kernels::test
