#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/model/version.h"

namespace kernels {

/// A release of CUDA, the version of the PTX language that it made, and the oldest Linux driver that came
/// with it, which loads this PTX and everything older.
struct CudaRelease {
  MajorMinor cuda;
  MajorMinor ptx;
  std::string_view driver;
};
/// In order, oldest first, from 10.0 on.
/// Source  release history of the PTX ISA; "CUDA Toolkit and Corresponding Driver Versions" of the CUDA
/// release
///         notes; last looked at on 2026-11-22.
std::span<const CudaRelease> cuda_releases();

/// Compares versions of any number of parts, such as `580.65.06`, number by number; what is missing counts as
/// 0.
std::strong_ordering compare_dotted(std::string_view one, std::string_view other);

/// Whether driver `has` is `needed` or newer. Parts that `has` leaves out count as enough: 580 is any of its
/// branch.
bool is_new_enough(std::string_view has, std::string_view needed);

/// The oldest Linux driver that loads this version of PTX; empty if it is newer than the table.
std::string driver_for_ptx(MajorMinor version);

/// The oldest Linux driver that runs machine code built with any CUDA of this major version; empty if
/// unknown. Source  CUDA Compatibility, "Minor Version Compatibility".
std::string driver_for_cuda(std::uint32_t major);

/// The newest CUDA that a driver's branch runs: 580.65.06 → 13.0. Nothing for branches that are older or
/// newer than the table.
std::optional<MajorMinor> cuda_of_driver(std::string_view driver);

}  // namespace kernels
