#include "kernels/resolve/variants.h"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

namespace kernels::resolve {

namespace {

std::string or_none(const std::optional<MajorMinor>& version) {
  return version ? version->str() : "none";
}

Refusal check_framework(const Variant& variant, const Target& target) {
  switch (variant.framework) {
    case Framework::torch:
      if (!target.torch) return Refusal::torch_missing;
      if (variant.framework_version != *target.torch) return Refusal::torch_version;
      return variant.cxx11_abi && variant.cxx11_abi != target.cxx11_abi ? Refusal::cxx11_abi : Refusal::none;
    case Framework::torch_stable:
      if (!target.torch) return Refusal::torch_missing;
      return variant.framework_version > *target.torch ? Refusal::torch_too_old : Refusal::none;
    case Framework::tvm_ffi:
      return target.tvm_ffi == variant.framework_version ? Refusal::none : Refusal::tvm_ffi;
    case Framework::noarch:
      break;
  }
  return Refusal::none;
}

Refusal check_backend(const Variant& variant, const Target& target) {
  const auto& built = variant.backend;
  const auto& has = target.backend;
  if (built.kind == BackendKind::cuda && has.kind == BackendKind::cuda && built.version && has.version) {
    bool fits = built.version->major == has.version->major && built.version->minor <= has.version->minor;
    return fits ? Refusal::none : Refusal::cuda_version;
  }
  // The others compare as text, so that a two-digit minor version (`rocm710`) finds its builds.
  if (built.kind != has.kind || built.tag() != has.tag()) return Refusal::backend;
  bool old_macos = built.kind == BackendKind::metal && (!target.macos || *target.macos < kFirstMetalMacos);
  return old_macos ? Refusal::macos : Refusal::none;
}

std::string noarch_name_of(const Backend& backend) {
  return backend.kind == BackendKind::cann ? "npu" : backend.name();
}

std::string but_target_has(const std::string& what, const std::string& has) {
  return what + ", but the target has " + has;
}

std::string torch_reason(Refusal refusal, const Variant& variant, const Target& target) {
  auto wanted = variant.framework_version.str();
  if (variant.framework == Framework::torch_stable) wanted += " or newer";
  if (refusal == Refusal::torch_missing) return "needs torch " + wanted + ", but there is no torch";
  return but_target_has((refusal == Refusal::torch_version ? "built for torch " : "needs torch ") + wanted,
                        target.torch->str());
}

std::string backend_reason(const Variant& variant, const Target& target) {
  if (variant.framework == Framework::noarch)
    return but_target_has("for `" + variant.noarch_name + "`", "`" + noarch_name_of(target.backend) + "`");
  return but_target_has("built for " + variant.backend.display(), target.backend.display());
}

std::string reason_of(Refusal refusal, const Variant& variant, const Target& target) {
  switch (refusal) {
    case Refusal::none:
      break;
    case Refusal::free_threaded:
      return "binary builds need a Python with the GIL, or Python 3.15 or newer";
    case Refusal::cpu:
      return but_target_has("built for the CPU " + variant.cpu, target.cpu);
    case Refusal::os:
      return but_target_has("built for " + variant.os, target.os);
    case Refusal::torch_missing:
    case Refusal::torch_version:
    case Refusal::torch_too_old:
      return torch_reason(refusal, variant, target);
    case Refusal::cxx11_abi:
      return std::string("built for torch's ") + (variant.cxx11_abi.value_or(false) ? "new" : "old") +
             " C++ ABI, which the target's torch does not have";
    case Refusal::tvm_ffi:
      return but_target_has("built for tvm-ffi " + variant.framework_version.str(), or_none(target.tvm_ffi));
    case Refusal::cuda_version:
    case Refusal::backend:
      return backend_reason(variant, target);
    case Refusal::macos:
      return but_target_has("needs macOS " + kFirstMetalMacos.str() + " or newer", or_none(target.macos));
  }
  return {};
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

Refusal refusal_of(const Variant& variant, const Target& target) {
  if (variant.framework == Framework::noarch) {
    bool fits = variant.noarch_name == "universal" || variant.noarch_name == noarch_name_of(target.backend);
    return fits ? Refusal::none : Refusal::backend;
  }
  if (target.free_threaded_python) return Refusal::free_threaded;
  if (variant.cpu != target.cpu) return Refusal::cpu;
  if (variant.os != target.os) return Refusal::os;
  auto refusal = check_framework(variant, target);
  return refusal == Refusal::none ? check_backend(variant, target) : refusal;
}

std::vector<Decision> decide(const std::vector<Variant>& variants, const Target& target) {
  // A key holds a name: made once for each variant, not for each comparison.
  using Key = decltype(preference(std::declval<const Decision&>()));
  std::vector<std::pair<Key, Decision>> keyed;
  for (const auto& variant : variants) {
    auto refusal = refusal_of(variant, target);
    Decision decision{.variant = variant, .refusal = refusal, .reason = reason_of(refusal, variant, target)};
    auto key = preference(decision);
    keyed.emplace_back(std::move(key), std::move(decision));
  }
  std::ranges::sort(keyed, {}, &std::pair<Key, Decision>::first);
  std::vector<Decision> out;
  for (auto& item : keyed)
    out.push_back(std::move(item.second));
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
