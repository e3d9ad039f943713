#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/model/target.h"
#include "kernels/model/variant.h"

namespace kernels::resolve {

/// One build variant with what its metadata declares.
struct DeclaredVariant {
  Variant variant;
  std::vector<std::string> archs = {};  ///< of `metadata.json`, e.g. `9.0`, `gfx90a`; empty: it does not say
  bool operator==(const DeclaredVariant&) const = default;
};

/// The build variants of one version of a kernel.
struct VersionVariants {
  std::optional<std::uint64_t> version;  ///< nothing: a revision without a number, or a folder
  std::string name;                      ///< `v1`, `main`; empty for a folder
  std::vector<DeclaredVariant> variants;
};

/// Whether the build is machine code for one kind of GPU, so that its architectures matter. Python-only
/// builds are compiled where they run.
bool has_gpu_code(const Variant& variant);

/// The GPUs of the target that a CUDA build declares no code for. A build that declares nothing: none.
std::vector<MajorMinor> uncovered_capabilities(const DeclaredVariant& build, const Target& target);

/// The backend as its publisher means it. In a variant's name the last digit is the minor version, so that
/// `rocm710` parses as 71.0; no such ROCm exists, and 7.10 has the same tag. The same for CUDA from 100,
/// CANN from 20 and XPU from 10000.
Backend meant_backend(const Backend& backend);

}  // namespace kernels::resolve
