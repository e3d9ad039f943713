#include "kernels/model/variant.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace kernels {

namespace {

constexpr std::array<std::pair<BackendKind, std::string_view>, 8> kNames = {{
    {BackendKind::cpu, "cpu"},
    {BackendKind::cuda, "cuda"},
    {BackendKind::rocm, "rocm"},
    {BackendKind::xpu, "xpu"},
    {BackendKind::cann, "cann"},
    {BackendKind::metal, "metal"},
    {BackendKind::neuron, "neuron"},
    {BackendKind::tpu, "tpu"},
}};

constexpr std::array<std::pair<BackendKind, std::string_view>, 4> kVersionedTags = {{
    {BackendKind::cuda, "cu"},
    {BackendKind::rocm, "rocm"},
    {BackendKind::xpu, "xpu"},
    {BackendKind::cann, "cann"},
}};

std::optional<std::uint32_t> small_number(std::string_view digits) {
  bool plain = !digits.empty() && digits.size() <= 9 &&
               digits.find_first_not_of("0123456789") == std::string_view::npos;
  if (!plain) return std::nullopt;
  std::uint32_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

/// `211` is 2.11: one digit for the major version.
std::optional<MajorMinor> framework_digits(std::string_view digits) {
  if (digits.size() < 2) return std::nullopt;
  auto major = small_number(digits.substr(0, 1));
  auto minor = small_number(digits.substr(1));
  if (!major || !minor) return std::nullopt;
  return MajorMinor{.major = *major, .minor = *minor};
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    auto end = std::min(text.find('-', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string digits_of(MajorMinor version) {
  return std::to_string(version.major) + std::to_string(version.minor);
}

}  // namespace

std::string Backend::name() const {
  const auto* found = std::ranges::find(kNames, kind, &std::pair<BackendKind, std::string_view>::first);
  return std::string(found->second);
}

std::string Backend::tag() const {
  if (!version) return name();
  return (kind == BackendKind::cuda ? "cu" : name()) + digits_of(*version);
}

std::string Backend::display() const {
  static constexpr std::array<std::string_view, 8> kDisplay = {"CPU",  "CUDA",  "ROCm",   "XPU",
                                                               "CANN", "Metal", "Neuron", "TPU"};
  std::string out(kDisplay[static_cast<std::size_t>(kind)]);
  return version ? out + " " + version->str() : out;
}

std::optional<BackendKind> Backend::kind_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, &std::pair<BackendKind, std::string_view>::second);
  if (found == kNames.end()) return std::nullopt;
  return found->first;
}

std::optional<Backend> Backend::from_tag(std::string_view tag) {
  for (auto plain : {BackendKind::cpu, BackendKind::metal, BackendKind::neuron, BackendKind::tpu}) {
    Backend backend{.kind = plain, .version = std::nullopt};
    if (tag == backend.name()) return backend;
  }
  for (const auto& [kind, prefix] : kVersionedTags) {
    if (!tag.starts_with(prefix)) continue;
    auto digits = tag.substr(prefix.size());
    if (digits.size() < 2) return std::nullopt;
    auto major = small_number(digits.substr(0, digits.size() - 1));
    auto minor = small_number(digits.substr(digits.size() - 1));
    if (!major || !minor) return std::nullopt;
    return Backend{.kind = kind, .version = MajorMinor{.major = *major, .minor = *minor}};
  }
  return std::nullopt;
}

std::string Variant::name() const {
  std::string tail = "-" + backend.tag() + "-" + cpu + "-" + os;
  switch (framework) {
    case Framework::torch: {
      std::string abi = !cxx11_abi ? "" : *cxx11_abi ? "-cxx11" : "-cxx98";
      return "torch" + digits_of(framework_version) + abi + tail;
    }
    case Framework::torch_stable:
      return "torch-stable-abi" + digits_of(framework_version) + tail;
    case Framework::tvm_ffi:
      return "tvm-ffi" + digits_of(framework_version) + tail;
    case Framework::noarch:
      return "torch-" + noarch_name;
  }
  return {};
}

Result<Variant> parse_variant(std::string_view name) {
  auto invalid = [&](const std::string& why) {
    return fail(Errc::invalid_argument, "`" + std::string(name) + "` is not a build variant: " + why);
  };
  auto parts = split(name);
  Variant variant;
  std::size_t used = 1;
  std::string_view digits;
  if (name.starts_with("torch-stable-abi")) {
    variant.framework = Framework::torch_stable;
    digits = parts[2].substr(3);
    used = 3;
  } else if (parts[0] == "torch") {
    variant.noarch_name = name.substr(std::min<std::size_t>(name.size(), 6));
    return variant;
  } else if (parts[0].starts_with("torch")) {
    variant.framework = Framework::torch;
    digits = parts[0].substr(5);
    if (parts.size() > 1 && (parts[1] == "cxx11" || parts[1] == "cxx98")) {
      variant.cxx11_abi = parts[1] == "cxx11";
      used = 2;
    }
  } else if (parts[0] == "tvm" && parts.size() > 1 && parts[1].starts_with("ffi")) {
    variant.framework = Framework::tvm_ffi;
    digits = parts[1].substr(3);
    used = 2;
  } else {
    return invalid("unknown framework");
  }
  auto version = framework_digits(digits);
  if (!version) return invalid("the framework's version needs at least two digits");
  variant.framework_version = *version;
  if (parts.size() != used + 3) return invalid("expected `<backend>-<cpu>-<os>` after the framework");
  auto backend = Backend::from_tag(parts[used]);
  if (!backend) return invalid("unknown backend `" + std::string(parts[used]) + "`");
  variant.backend = *backend;
  variant.cpu = parts[used + 1];
  variant.os = parts[used + 2];
  return variant;
}

}  // namespace kernels
