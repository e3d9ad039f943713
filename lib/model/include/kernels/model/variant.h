#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/model/version.h"

namespace kernels {

enum class BackendKind { cpu, cuda, rocm, xpu, cann, metal, neuron, tpu };

/// The accelerator interface that a variant is built for or a machine has. `version` only where the variant's
/// name carries one: CUDA, ROCm, XPU, CANN.
struct Backend {
  BackendKind kind = BackendKind::cpu;
  std::optional<MajorMinor> version;
  bool operator==(const Backend&) const = default;

  /// `cpu`, `cuda`, `rocm`, … without version.
  std::string name() const;
  /// As in a variant's folder name: `cpu`, `cu128`, `rocm71`, `xpu20253`.
  std::string tag() const;
  /// For people: `CUDA 12.8`, `CPU`.
  std::string display() const;
  /// Reads a tag. The last digit is the minor version, all before it the major one (`cu128` is 12.8).
  static std::optional<Backend> from_tag(std::string_view tag);
  static std::optional<BackendKind> kind_from_name(std::string_view name);
};

enum class Framework {
  torch,         ///< bound to one minor version of torch
  torch_stable,  ///< torch's stable ABI: that version or newer
  tvm_ffi,       ///< bound to one minor version of tvm-ffi
  noarch,        ///< Python only, `torch-<name>`
};

/// One folder below `build/`, parsed.
///
/// Grammar  `torch<M><m>[-cxx11|-cxx98]-<backend>-<cpu>-<os>`, `torch-stable-abi<M><m>-…`,
///          `tvm-ffi<M><m>-…`, `torch[-<name>]`; M is one digit, m the rest.
struct Variant {
  Framework framework = Framework::noarch;
  MajorMinor framework_version;   ///< not for noarch
  std::optional<bool> cxx11_abi;  ///< torch only: the tag in the name, if any
  Backend backend;                ///< not for noarch
  std::string cpu;                ///< not for noarch: `x86_64`, `aarch64`
  std::string os;                 ///< not for noarch: `linux`, `darwin`, `windows`
  std::string noarch_name;        ///< noarch: `cuda`, `universal`, …
  bool operator==(const Variant&) const = default;

  /// The folder name. Names such as `torch100-…` parse to a variant whose name differs (`torch10-…`): such a
  /// folder can never be found again by the readers of the cache, so callers treat it as invalid.
  std::string name() const;
};

/// Errors  invalid_argument, with the reason.
Result<Variant> parse_variant(std::string_view name);

}  // namespace kernels
