#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/model/variant.h"
#include "kernels/resolve/version_variants.h"

namespace kernels::resolve {

/// What the machines of one row have installed: torch, or tvm-ffi without torch, or neither.
struct CoverageRow {
  std::optional<MajorMinor> torch;
  std::optional<bool> cxx11_abi;  ///< of torch, on Linux
  std::optional<MajorMinor> tvm_ffi;
  auto operator<=>(const CoverageRow&) const = default;

  /// For people: `2.11`, `2.3, old C++ ABI`, `no torch, tvm-ffi 0.1`, `no torch`.
  std::string display() const;
};

/// What the machines of one row and column choose.
struct CoverageCell {
  std::optional<DeclaredVariant> chosen;  ///< nothing: a hole
  /// GPU code whose architectures are declared by another build of the same version, platform and backend,
  /// and not by this one: `9.0`, `gfx90a`. Empty where this build does not say what it has.
  std::vector<std::string> missing;
  bool is_hole() const { return !chosen; }
  /// The build is machine code for GPUs, but its metadata does not say for which.
  bool is_unknown() const;
};

/// One version of a kernel on one platform.
struct CoverageTable {
  std::size_t index = 0;  ///< of the version in what was given
  std::optional<std::uint64_t> version;
  std::string name;
  std::string os;   ///< empty: Python-only builds, which run on any platform
  std::string cpu;  ///< as `os`
  std::vector<CoverageRow> rows;
  std::vector<Backend>
      columns;  ///< CUDA, ROCm, XPU or CANN without a version: only Python-only builds are known
  std::vector<std::vector<CoverageCell>> cells;  ///< [row][column]
  /// Builds of the version for this platform that no machine of the table accepts: `…-cu1210-…`, for example.
  std::vector<std::string> unreachable;
  std::size_t left_out = 0;  ///< rows and columns beyond the 64 newest of each
};

struct Coverage {
  std::vector<CoverageTable> tables;  ///< by version as given, then by platform
};

/// Which machines find which build, as `decide` says, so that holes can be seen.
///
/// Rows are the torch versions that occur in any version of the kernel on the platform, with the old C++ ABI
/// apart where there are builds for it; then the tvm-ffi versions, and no torch at all where Python-only
/// builds exist. Columns are the backends with their versions. Both are the same for every version, so that
/// what a version dropped is a hole too. A machine has the newest driver and macOS 26. A version without any
/// build for a platform that others have is a table of holes.
Coverage coverage_of(const std::vector<VersionVariants>& versions);

/// The base of an architecture that metadata declares: `9.0` of `9.0a` and `9.0+PTX`, `gfx90a` of
/// `gfx90a:xnack-`.
std::string base_arch(const std::string& arch);

}  // namespace kernels::resolve
