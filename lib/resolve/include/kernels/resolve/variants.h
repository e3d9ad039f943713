#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/model/target.h"
#include "kernels/model/variant.h"

namespace kernels::resolve {

/// The macOS that variants for Metal need, whatever else they say.
inline constexpr MajorMinor kFirstMetalMacos{.major = 26, .minor = 0};

/// Which test refused a variant, in the order in which the tests are made; the first that fails is the
/// reason.
enum class Refusal {
  none,
  free_threaded,  ///< a Python without the GIL before 3.15 has no stable ABI
  cpu,
  os,
  torch_missing,  ///< the variant needs torch and the target has none
  torch_version,
  torch_too_old,  ///< stable ABI newer than the target's torch
  cxx11_abi,
  tvm_ffi,
  cuda_version,  ///< another major version, or a newer minor one
  backend,
  macos,
};

/// One variant, accepted or refused for a target.
struct Decision {
  Variant variant;
  Refusal refusal = Refusal::none;
  std::string reason;  ///< for people; empty if accepted
  bool accepted() const { return refusal == Refusal::none; }
};

/// The first test that the variant fails on the target. Source  as of `decide`.
Refusal refusal_of(const Variant& variant, const Target& target);

/// Decides about every variant and sorts: accepted before refused, then by preference, then by name.
///
/// Preference: newest usable stable ABI; torch builds, those without a C++ ABI tag first; tvm-ffi;
/// Python-only builds. Within each, the highest minor version of the backend. Source  the acceptance and
/// preference rules of the Python package `kernels` 0.17. Where that leaves the order of a tie to chance
/// (tvm-ffi against Python-only), tvm-ffi comes first, then the name decides.
std::vector<Decision> decide(const std::vector<Variant>& variants, const Target& target);

/// The folder names below `build/`, parsed; names that do not parse, or do not render back to themselves, are
/// returned apart.
struct VariantNames {
  std::vector<Variant> valid;
  std::vector<std::string> invalid;
};
VariantNames parse_variant_names(const std::vector<std::string>& names);

/// Whether one architecture of `metadata.json` (`9.0`, `9.0a`, `10.0f`, `8.0+PTX`) runs on a capability:
/// plain: same major version, minor at least; `a`: exactly that; `f`: same major, minor at least;
/// `+PTX`: that or anything newer.
enum class Covered { yes, no, unknown };
Covered arch_covers(std::string_view arch, MajorMinor capability);
/// Whether any of them does. No list, or none that can be read: unknown.
Covered archs_cover(const std::vector<std::string>& archs, MajorMinor capability);

}  // namespace kernels::resolve
