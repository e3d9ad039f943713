#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"
#include "kernels/base/error.h"
#include "kernels/model/version.h"

// The GPU code inside a library, read without CUDA tools and without decompressing more than is needed.
//
// A library made by nvcc has one container ("fat binary") for each translation unit; each holds the same
// functions as several images: machine code (SASS) for architectures, and PTX that the driver can compile.
// The loader takes one image of each container, so a library runs on a GPU only if every container does.
//
// Layout, little-endian, each container at a multiple of 8:
//   container  0 u32 0xBA55ED50 · 4 u16 version 1 · 6 u16 header size 16 · 8 u64 size of the images
//   image      0 u16 kind (1 PTX, 2 SASS, 8 LTO-IR) · 2 u16 version · 4 u32 header size · 8 u64 payload size
//   ·
//              16 u32 compressed size · 24 u16 minor, 26 u16 major version of PTX or of the SASS file ·
//              28 u32 architecture · 40 u64 flags · 56 u64 uncompressed size
//   flags      0x2000 LZ4 block · 0x8000 zstd frame · 0x100000 suffix `a` · 0x200000 suffix `f`

namespace kernels::inspect {

enum class CodeKind {
  sass,   ///< machine code for one architecture
  ptx,    ///< an assembly that the driver compiles for the GPU it finds
  lto,    ///< an intermediate form for the linker; no driver runs it
  other,  ///< of a kind that is not known
};

/// What an architecture's name ends with.
enum class ArchSuffix {
  none,
  specific,  ///< `a`: exactly that capability
  family,    ///< `f`: that capability and later ones of its major version
};

enum class Compression { none, lz4, zstd };

/// Whether an image holds functions. Only small images are looked into: a large one is not made of nothing.
enum class ImageContent { has_functions, empty, not_looked };

struct GpuImage {
  CodeKind kind = CodeKind::other;
  MajorMinor capability;  ///< 9.0 for sm_90
  ArchSuffix suffix = ArchSuffix::none;
  Compression compression = Compression::none;
  MajorMinor version;                   ///< of the PTX language, or of the format of the machine code
  ByteExtent payload;                   ///< in the source, without padding
  std::uint64_t uncompressed_size = 0;  ///< that of the payload if it is not compressed
  ImageContent content = ImageContent::not_looked;
  bool is_relocatable = false;  ///< made for the device linker; a driver cannot load it

  /// `sm_90a`, `compute_90`, `lto_90`.
  std::string arch() const;
};

struct GpuContainer {
  std::uint64_t offset = 0;  ///< in the source
  /// Only the device linker can use it: what `-rdc=true` leaves behind beside the linked code.
  bool is_relocatable = false;
  std::vector<GpuImage> images;

  /// nvcc adds a container without functions to what it links; it says nothing about where a library runs.
  bool is_empty() const;
};

/// Code for other accelerators, which is recognised and not read.
enum class ForeignCode {
  amd,    ///< HIP fat binaries, AMD code objects
  intel,  ///< SPIR-V or oneAPI device images
};
std::string to_string(ForeignCode code);

struct GpuCode {
  std::vector<GpuContainer> containers;  ///< in the order of the file
  std::vector<ForeignCode> foreign;
  bool is_complete = true;  ///< false: the file is larger than what is searched
};

/// Reads the containers of a library, relocatable file or program.
///
/// With a table of sections the sections for GPU code are read, else all data that a loader would load is
/// searched, at most 1 GiB of it.
/// Errors   corrupt: a container or image that leaves its place; unsupported: more than 16,384 images or
/// containers. io,
///          network: as of the source.
/// Cost     one small read for each image, whatever their size; with a source that is far away the reads of
///          different containers are made at once. Memory: about 100 bytes for each image.
/// Source   files made by nvcc 11 to 13, compared with what `cuobjdump` says of them.
Result<GpuCode> read_gpu_code(ByteSource& source, const ElfFile& file);

/// The same for a bare container, as in a `.fatbin` file or a section that was cut out.
Result<GpuCode> read_fat_binary(ByteSource& source);

/// The content of an image, decompressed. Errors  corrupt: damaged compression; unsupported: longer than
/// 16 MiB.
Result<std::vector<std::byte>> unpack(ByteSource& source, const GpuImage& image);

/// The names of the functions that an image has for the host, as the linker knows them (mangled), sorted.
/// Errors as of `unpack`, and corrupt: no machine code or PTX.
Result<std::vector<std::string>> function_names(ByteSource& source, const GpuImage& image);

/// A mangled name as people know it, without arguments: `_Z11silu_kernelIfEvPT_i` is `silu_kernel<…>`. Names
/// of other forms stay as they are; 300 characters are the most. Nothing is demangled in full: names are
/// hostile, and demanglers are large.
std::string short_function_name(std::string_view mangled);

}  // namespace kernels::inspect
