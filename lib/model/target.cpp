#include "kernels/model/target.h"

#include <algorithm>
#include <cctype>

#include "kernels/base/joined.h"
#include "kernels/base/nearest.h"

namespace kernels {

const std::vector<std::string>& target_keys() {
  static const std::vector<std::string> keys = {
      "os",      "cpu",    "cuda",  "rocm",   "xpu",       "cann",    "backend", "torch",     "glibc",
      "glibcxx", "cxxabi", "macos", "driver", "cxx11-abi", "tvm-ffi", "python",  "capability"};
  return keys;
}

static Status set_backend(Target& target, Backend backend) {
  bool already = target.backend.kind != BackendKind::cpu;
  if (already)
    return fail(Error(Errc::invalid_argument, "a target has one backend, but both `" + target.backend.name() +
                                                  "` and `" + backend.name() + "` are given")
                    .with_hint("describe two targets"));
  target.backend = backend;
  return {};
}

static Status set_version(std::optional<MajorMinor>& slot, std::string_view value) {
  auto version = MajorMinor::parse(value);
  if (!version) return fail(std::move(version).error());
  slot = *version;
  return {};
}

/// A version of several parts that is compared part by part elsewhere: digits and single dots.
static Status set_dotted(std::optional<std::string>& slot, std::string_view value) {
  bool digit_before = false;
  bool good = !value.empty();
  for (char c : value) {
    bool digit = c >= '0' && c <= '9';
    good &= digit || (c == '.' && digit_before);
    digit_before = digit;
  }
  if (!good || !digit_before)
    return fail(Errc::invalid_argument, "`" + std::string(value) + "` is not a version");
  slot = value;
  return {};
}

/// The first Python whose stable ABI has a build without the GIL.
static constexpr MajorMinor kFreeThreadedAbi{.major = 3, .minor = 15};

static Status set_python(Target& target, std::string_view value) {
  bool free_threaded = value.ends_with('t');
  if (free_threaded) value.remove_suffix(1);
  if (auto set = set_version(target.python, value); !set) return set;
  target.free_threaded_python = free_threaded && *target.python < kFreeThreadedAbi;
  return {};
}

static Result<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return fail(Errc::invalid_argument, "expected `true` or `false`, got `" + std::string(text) + "`");
}

static Status set_named_backend(Target& target, std::string_view value) {
  auto kind = Backend::kind_from_name(value);
  bool versionless = kind == BackendKind::cpu || kind == BackendKind::metal || kind == BackendKind::neuron ||
                     kind == BackendKind::tpu;
  if (!kind || !versionless)
    return fail(Error(Errc::invalid_argument, "`" + std::string(value) + "` is not a backend without version")
                    .with_hint("write `backend=cpu|metal|neuron|tpu`, or for example `cuda=13.0`"));
  return set_backend(target, {.kind = *kind, .version = std::nullopt});
}

static Status set_word(std::string& slot, std::string_view key, std::string_view value) {
  auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
  };
  if (value.empty() || !std::ranges::all_of(value, is_plain))
    return fail(Errc::invalid_argument,
                "`" + std::string(value) + "` is not a value for `" + std::string(key) + "`");
  slot = value;
  return {};
}

static std::unexpected<Error> unknown_key(std::string_view key) {
  auto guess = nearest(key, target_keys());
  return fail(
      Error(Errc::invalid_argument, "a target has no key `" + std::string(key) + "`")
          .with_hint(guess ? "did you mean `" + *guess + "`?" : "the keys are " + joined(target_keys())));
}

Status set_target_key(Target& target, std::string_view key, std::string_view value) {
  if (key == "os") return set_word(target.os, key, value);
  if (key == "cpu") return set_word(target.cpu, key, value);
  if (key == "driver") return set_word(target.driver.emplace(), key, value);
  if (key == "torch") return set_version(target.torch, value);
  if (key == "tvm-ffi") return set_version(target.tvm_ffi, value);
  if (key == "macos") return set_version(target.macos, value);
  if (key == "glibc") return set_version(target.glibc, value);
  if (key == "glibcxx") return set_dotted(target.glibcxx, value);
  if (key == "cxxabi") return set_dotted(target.cxxabi, value);
  if (key == "python") return set_python(target, value);
  if (key == "backend") return set_named_backend(target, value);
  if (key == "capability") {
    std::optional<MajorMinor> capability;
    if (auto set = set_version(capability, value); !set) return set;
    target.capabilities.push_back(*capability);
    return {};
  }
  if (key == "cxx11-abi") {
    auto flag = parse_bool(value);
    if (!flag) return fail(std::move(flag).error());
    target.cxx11_abi = *flag;
    return {};
  }
  if (key == "cuda" || key == "rocm" || key == "xpu" || key == "cann") {
    std::optional<MajorMinor> version;
    if (auto set = set_version(version, value); !set) return set;
    return set_backend(target, {.kind = *Backend::kind_from_name(key), .version = version});
  }
  return unknown_key(key);
}

void complete_target(Target& target) {
  if (target.os == "linux" && target.torch && !target.cxx11_abi) target.cxx11_abi = true;
}

Result<Target> parse_target(std::string_view text) {
  Target target;
  target.name = text;
  std::string_view rest = text;
  while (!rest.empty()) {
    auto comma = std::min(rest.find(','), rest.size());
    auto piece = rest.substr(0, comma);
    rest.remove_prefix(std::min(rest.size(), comma + 1));
    auto equals = piece.find('=');
    if (equals == std::string_view::npos)
      return fail(Error(Errc::invalid_argument, "`" + std::string(piece) + "` is not `key=value`")
                      .with_hint("write for example `os=linux,cpu=x86_64,torch=2.11,cuda=13.0`"));
    auto set = set_target_key(target, piece.substr(0, equals), piece.substr(equals + 1));
    if (!set)
      return fail(std::move(set).error().while_doing("reading the target `" + std::string(text) + "`"));
  }
  complete_target(target);
  return target;
}

std::string Target::display() const {
  std::string out = os + " " + cpu + ", " + backend.display();
  if (torch) out += ", torch " + torch->str();
  if (tvm_ffi) out += ", tvm-ffi " + tvm_ffi->str();
  for (const auto& capability : capabilities)
    out += ", capability " + capability.str();
  if (driver) out += ", driver " + *driver;
  if (glibc) out += ", glibc " + glibc->str();
  return out;
}

static std::string backend_description(const Backend& backend) {
  if (backend.version) return "," + backend.name() + "=" + backend.version->str();
  return backend.kind == BackendKind::cpu ? "" : ",backend=" + backend.name();
}

std::string Target::description() const {
  std::string out = "os=" + os + ",cpu=" + cpu + backend_description(backend);
  auto add = [&](const char* key, const std::string& value) { out += std::string(",") + key + "=" + value; };
  if (torch) add("torch", torch->str());
  if (glibc) add("glibc", glibc->str());
  if (glibcxx) add("glibcxx", *glibcxx);
  if (cxxabi) add("cxxabi", *cxxabi);
  if (macos) add("macos", macos->str());
  if (driver) add("driver", *driver);
  if (cxx11_abi) add("cxx11-abi", *cxx11_abi ? "true" : "false");
  if (tvm_ffi) add("tvm-ffi", tvm_ffi->str());
  if (python) add("python", python->str() + (free_threaded_python ? "t" : ""));
  for (const auto& capability : capabilities)
    add("capability", capability.str());
  return out;
}

}  // namespace kernels
