#include "kernels/resolve/variants.h"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace kernels::resolve {

namespace {

struct Complaint {
  Refusal refusal = Refusal::none;
  std::string reason;
};

std::string or_none(const std::optional<MajorMinor>& version) {
  return version ? version->str() : "none";
}

Complaint check_torch(const Variant& variant, const Target& target) {
  auto wanted = variant.framework_version;
  if (!target.torch)
    return {.refusal = Refusal::torch_missing,
            .reason = "needs torch " + wanted.str() + ", but there is no torch"};
  if (wanted != *target.torch)
    return {.refusal = Refusal::torch_version,
            .reason = "built for torch " + wanted.str() + ", but the target has " + target.torch->str()};
  if (variant.cxx11_abi && variant.cxx11_abi != target.cxx11_abi)
    return {.refusal = Refusal::cxx11_abi,
            .reason = std::string("built for torch's ") + (*variant.cxx11_abi ? "new" : "old") +
                      " C++ ABI, which the target's torch does not have"};
  return {};
}

Complaint check_stable(const Variant& variant, const Target& target) {
  auto wanted = variant.framework_version;
  if (!target.torch)
    return {.refusal = Refusal::torch_missing,
            .reason = "needs torch " + wanted.str() + " or newer, but there is no torch"};
  if (wanted > *target.torch)
    return {.refusal = Refusal::torch_too_old,
            .reason = "needs torch " + wanted.str() + " or newer, but the target has " + target.torch->str()};
  return {};
}

Complaint check_tvm_ffi(const Variant& variant, const Target& target) {
  if (target.tvm_ffi && *target.tvm_ffi == variant.framework_version) return {};
  return {.refusal = Refusal::tvm_ffi,
          .reason = "built for tvm-ffi " + variant.framework_version.str() + ", but the target has " +
                    or_none(target.tvm_ffi)};
}

Complaint check_framework(const Variant& variant, const Target& target) {
  switch (variant.framework) {
    case Framework::torch:
      return check_torch(variant, target);
    case Framework::torch_stable:
      return check_stable(variant, target);
    case Framework::tvm_ffi:
      return check_tvm_ffi(variant, target);
    case Framework::noarch:
      return {};
  }
  return {};
}

Complaint check_backend(const Variant& variant, const Target& target) {
  const auto& built = variant.backend;
  const auto& has = target.backend;
  if (built.kind == BackendKind::cuda && has.kind == BackendKind::cuda && built.version && has.version) {
    bool fits = built.version->major == has.version->major && built.version->minor <= has.version->minor;
    if (fits) return {};
    return {.refusal = Refusal::cuda_version,
            .reason = "built for " + built.display() + ", but the target has " + has.display()};
  }
  // The others compare as text, so that a two-digit minor version (`rocm710`) finds its builds.
  if (built.tag() != has.tag())
    return {.refusal = Refusal::backend,
            .reason = "built for " + built.display() + ", but the target has " + has.display()};
  constexpr MajorMinor kFirstMacos{.major = 26, .minor = 0};
  if (built.kind == BackendKind::metal && (!target.macos || *target.macos < kFirstMacos))
    return {.refusal = Refusal::macos,
            .reason = "needs macOS 26.0 or newer, but the target has " + or_none(target.macos)};
  return {};
}

Complaint check_noarch(const Variant& variant, const Target& target) {
  std::string wanted = target.backend.kind == BackendKind::cann ? "npu" : target.backend.name();
  if (variant.noarch_name == wanted || variant.noarch_name == "universal") return {};
  return {.refusal = Refusal::backend,
          .reason = "for `" + variant.noarch_name + "`, but the target has `" + wanted + "`"};
}

Complaint check(const Variant& variant, const Target& target) {
  if (variant.framework == Framework::noarch) return check_noarch(variant, target);
  if (target.free_threaded_python)
    return {.refusal = Refusal::free_threaded,
            .reason = "binary builds need a Python with the GIL, or Python 3.15 or newer"};
  if (variant.cpu != target.cpu)
    return {.refusal = Refusal::cpu,
            .reason = "built for the CPU " + variant.cpu + ", but the target has " + target.cpu};
  if (variant.os != target.os)
    return {.refusal = Refusal::os,
            .reason = "built for " + variant.os + ", but the target has " + target.os};
  if (auto complaint = check_framework(variant, target); complaint.refusal != Refusal::none) return complaint;
  return check_backend(variant, target);
}

int framework_rank(Framework framework) {
  switch (framework) {
    case Framework::torch_stable:
      return 0;
    case Framework::torch:
      return 1;
    case Framework::tvm_ffi:
    case Framework::noarch:
      return 2;
  }
  return 3;
}

/// Smaller is better. The last two parts make the order complete.
auto preference(const Decision& decision) {
  const auto& variant = decision.variant;
  std::int64_t first = 0;
  std::int64_t second = 0;
  if (variant.framework == Framework::torch_stable) {
    first = -std::int64_t{variant.framework_version.major};
    second = -std::int64_t{variant.framework_version.minor};
  } else if (variant.framework == Framework::torch) {
    second = variant.cxx11_abi ? 1 : 0;
  }
  bool is_noarch = variant.framework == Framework::noarch;
  std::int64_t backend = is_noarch                 ? (variant.noarch_name == "universal" ? 1 : 0)
                         : variant.backend.version ? -std::int64_t{variant.backend.version->minor}
                                                   : 0;
  return std::tuple(decision.accepted() ? 0 : 1, framework_rank(variant.framework), first, second, backend,
                    is_noarch ? 1 : 0, variant.name());
}

std::optional<std::uint32_t> digits(std::string_view text) {
  std::uint32_t value = 0;
  auto [rest, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<Decision> decide(const std::vector<Variant>& variants, const Target& target) {
  std::vector<Decision> out;
  for (const auto& variant : variants) {
    auto complaint = check(variant, target);
    out.push_back({.variant = variant, .refusal = complaint.refusal, .reason = std::move(complaint.reason)});
  }
  std::ranges::sort(out, {}, preference);
  return out;
}

VariantNames parse_variant_names(const std::vector<std::string>& names) {
  VariantNames out;
  for (const auto& name : names) {
    auto variant = parse_variant(name);
    if (variant && variant->name() == name)
      out.valid.push_back(std::move(*variant));
    else
      out.invalid.push_back(name);
  }
  std::ranges::sort(out.invalid);
  return out;
}

Covered arch_covers(std::string_view arch, MajorMinor capability) {
  bool ptx = arch.ends_with("+PTX");
  if (ptx) arch.remove_suffix(4);
  char suffix = arch.ends_with('a') || arch.ends_with('f') ? arch.back() : '\0';
  if (suffix != '\0') arch.remove_suffix(1);
  auto dot = arch.find('.');
  if (dot == std::string_view::npos) return Covered::unknown;
  auto major = digits(arch.substr(0, dot));
  auto minor = digits(arch.substr(dot + 1));
  if (!major || !minor) return Covered::unknown;
  MajorMinor built{.major = *major, .minor = *minor};
  bool runs = suffix == 'a'        ? capability == built
              : ptx && suffix == 0 ? capability >= built
                                   : capability.major == built.major && capability.minor >= built.minor;
  return runs ? Covered::yes : Covered::no;
}

Covered archs_cover(const std::vector<std::string>& archs, MajorMinor capability) {
  auto result = Covered::unknown;
  for (const auto& arch : archs) {
    auto covered = arch_covers(arch, capability);
    if (covered == Covered::yes) return covered;
    if (covered == Covered::no) result = covered;
  }
  return result;
}

}  // namespace kernels::resolve
