#include "kernels/resolve/version_variants.h"

#include <charconv>

#include "kernels/resolve/variants.h"

namespace kernels::resolve {

bool has_gpu_code(const Variant& variant) {
  if (variant.framework == Framework::noarch) return false;
  return variant.backend.kind == BackendKind::cuda || variant.backend.kind == BackendKind::rocm;
}

std::vector<MajorMinor> uncovered_capabilities(const DeclaredVariant& build, const Target& target) {
  std::vector<MajorMinor> out;
  if (!has_gpu_code(build.variant) || build.variant.backend.kind != BackendKind::cuda) return out;
  for (const auto& capability : target.capabilities)
    if (archs_cover(build.archs, capability) == Covered::no) out.push_back(capability);
  return out;
}

Backend meant_backend(const Backend& backend) {
  struct Digits {
    BackendKind kind;
    std::uint32_t first_absurd;  ///< major version
    std::size_t major_digits;
  };
  static constexpr Digits kDigits[] = {
      {.kind = BackendKind::cuda, .first_absurd = 100, .major_digits = 2},
      {.kind = BackendKind::rocm, .first_absurd = 20, .major_digits = 1},
      {.kind = BackendKind::cann, .first_absurd = 20, .major_digits = 1},
      {.kind = BackendKind::xpu, .first_absurd = 10000, .major_digits = 4},
  };
  for (const auto& row : kDigits) {
    if (row.kind != backend.kind || !backend.version || backend.version->major < row.first_absurd) continue;
    auto digits = std::to_string(backend.version->major) + std::to_string(backend.version->minor);
    MajorMinor meant;
    std::from_chars(digits.data(), digits.data() + row.major_digits, meant.major);
    auto [end, code] =
        std::from_chars(digits.data() + row.major_digits, digits.data() + digits.size(), meant.minor);
    Backend out{.kind = backend.kind, .version = meant};
    // A minor version with a leading zero cannot be meant: it would not have this tag.
    return code == std::errc() && out.tag() == backend.tag() ? out : backend;
  }
  return backend;
}

}  // namespace kernels::resolve
