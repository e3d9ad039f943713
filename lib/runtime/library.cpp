#include "kernels/runtime/library.h"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>

#include <dlfcn.h>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"

#include "runner_impl.h"

namespace kernels::runtime {
namespace {

constexpr std::string_view kPrefix = tvm_ffi::kFunctionPrefix;
constexpr std::string_view kEnvironmentPrefix = "TVMFFI";

/// What a library exports and imports, as far as kernels and their environment go.
struct Interface {
  std::vector<std::string> exports;
  std::vector<std::string> imports;
};

Result<Interface> interface_of(const std::filesystem::path& path) {
  const auto read = [&]() -> Result<Interface> {
    auto source = open_file_source(path);
    if (!source) return std::unexpected(std::move(source).error());
    auto file = read_elf(**source);
    if (!file) return std::unexpected(std::move(file).error());
    const std::array prefixes{kPrefix, kEnvironmentPrefix};
    auto exports = exported_symbols(**source, *file, prefixes);
    if (!exports) return std::unexpected(std::move(exports).error());
    auto imports = undefined_symbols(**source, *file);
    if (!imports) return std::unexpected(std::move(imports).error());
    Interface out{.exports = std::move(*exports), .imports = {}};
    for (auto& symbol : *imports)
      if (!symbol.is_weak && symbol.name.starts_with(kEnvironmentPrefix))
        out.imports.push_back(std::move(symbol.name));
    return out;
  };
  auto out = read();
  if (!out) return std::unexpected(std::move(out).error().while_doing("reading `" + path.string() + "`"));
  return out;
}

/// The functions of the environment that `kernel` imports and `provider` does not have.
std::vector<std::string> missing(const Interface& kernel, const Interface& provider) {
  std::vector<std::string> names;
  for (const std::string& name : kernel.imports)
    if (!std::ranges::binary_search(provider.exports, name)) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> exported_functions(const Interface& kernel) {
  std::vector<std::string> names;
  for (const std::string& name : kernel.exports)
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size() && name[kPrefix.size()] != '_')
      names.push_back(name.substr(kPrefix.size()));
  std::ranges::sort(names);
  return names;
}

std::string loader_error() {
  const char* text = dlerror();
  return text == nullptr ? "no reason given" : text;
}

}  // namespace

Result<void*> load_library(const std::filesystem::path& path, int flags) {
  void* handle = dlopen(std::filesystem::absolute(path).c_str(), flags);
  if (handle != nullptr) return handle;
  return fail(Errc::unsupported,
              "the dynamic loader refuses `" + path.filename().string() + "`: " + loader_error());
}

namespace {

tvm_ffi::Any to_any(const Value& value) {
  tvm_ffi::Any any{};
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    any.type_index = tvm_ffi::kInt;
    any.as_int = *whole;
  } else if (const auto* real = std::get_if<double>(&value)) {
    any.type_index = tvm_ffi::kFloat;
    any.as_float = *real;
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    any.type_index = tvm_ffi::kBool;
    any.as_int = *truth ? 1 : 0;
  } else if (const auto* tensor = std::get_if<const Tensor*>(&value)) {
    any.type_index = tvm_ffi::kTensor;
    any.as_pointer = (*tensor)->object();
  }
  return any;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' '))
    text.remove_prefix(1);
  while (text.ends_with(' '))
    text.remove_suffix(1);
  return text;
}

std::vector<tvm_ffi::Any> pack(std::span<const Value> values) {
  std::vector<tvm_ffi::Any> packed;
  packed.reserve(values.size());
  for (const Value& value : values)
    packed.push_back(to_any(value));
  return packed;
}

Result<Signature> parse_signature(std::string_view text) {
  const auto wrong = [&] {
    return fail(Errc::corrupt, "no signature in `" + std::string(text.substr(0, 200)) + "`");
  };
  const auto open = text.find('`');
  const auto close = open == std::string_view::npos ? open : text.find('`', open + 1);
  if (close == std::string_view::npos) return wrong();
  const std::string_view quoted = text.substr(open + 1, close - open - 1);
  const auto begin = quoted.find('(');
  const auto arrow = quoted.rfind(") -> ");
  if (begin == std::string_view::npos || arrow == std::string_view::npos || arrow < begin) return wrong();
  Signature signature;
  signature.result = trimmed(quoted.substr(arrow + 5));
  std::string_view rest = quoted.substr(begin + 1, arrow - begin - 1);
  // Commas inside <…> belong to a type: "Map<str, int>".
  while (!rest.empty()) {
    int depth = 0;
    std::size_t end = 0;
    for (; end < rest.size() && (depth > 0 || rest[end] != ','); ++end)
      depth += rest[end] == '<' ? 1 : rest[end] == '>' ? -1 : 0;
    const std::string_view entry = rest.substr(0, end);
    const auto colon = entry.find(": ");
    if (colon == std::string_view::npos) return wrong();
    signature.arguments.emplace_back(trimmed(entry.substr(colon + 2)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return signature;
}

Result<std::filesystem::path> find_library(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(folder, code))
    if (entry.path().extension() == ".so") found.push_back(entry.path());
  if (code) return fail(system_error("list", folder.string(), code.value()));
  if (found.empty()) return fail(Errc::not_found, "no library in `" + folder.string() + "`");
  if (found.size() > 1) return fail(Errc::corrupt, "more than one library in `" + folder.string() + "`");
  return found.front();
}

/// The provider's functions that this program calls itself.
struct KernelFunction::Environment {
  int (*set_stream)(std::int32_t device_type, std::int32_t device_id, void* stream, void** old);
  void (*move_error)(void** error);
  int (*release)(void* object);

  CallResult invoke(tvm_ffi::SafeCall function, const tvm_ffi::Any* arguments, std::int32_t count) const;
};

Result<KernelLibrary> KernelLibrary::open(const std::filesystem::path& library,
                                          const std::filesystem::path& provider) {
  auto wanted = interface_of(library);
  if (!wanted) return std::unexpected(std::move(wanted).error());
  auto offered = interface_of(provider);
  if (!offered) return std::unexpected(std::move(offered).error());
  if (const auto names = missing(*wanted, *offered); !names.empty()) {
    std::string text =
        "`" + library.filename().string() + "` needs functions that `" + provider.string() + "` lacks:";
    for (const std::string& name : names)
      text += " " + name;
    return std::unexpected(
        Error(Errc::unsupported, std::move(text)).with_hint("name a newer libtvm_ffi.so as the provider"));
  }
  auto environment = load_library(provider, RTLD_NOW | RTLD_GLOBAL);
  if (!environment) return std::unexpected(std::move(environment).error());
  auto functions = std::make_shared<Provider>();
  functions->set_stream =
      reinterpret_cast<decltype(Provider::set_stream)>(dlsym(*environment, "TVMFFIEnvSetStream"));
  functions->move_error =
      reinterpret_cast<decltype(Provider::move_error)>(dlsym(*environment, "TVMFFIErrorMoveFromRaised"));
  functions->release =
      reinterpret_cast<decltype(Provider::release)>(dlsym(*environment, "TVMFFIObjectDecRef"));
  if (functions->set_stream == nullptr || functions->move_error == nullptr || functions->release == nullptr)
    return fail(Errc::unsupported, "`" + provider.string() + "` is no libtvm_ffi.so");
  auto handle = load_library(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return std::unexpected(std::move(handle).error());
  return KernelLibrary(*handle, std::move(functions), exported_functions(*wanted));
}

bool KernelLibrary::has(std::string_view function) const {
  return std::ranges::binary_search(functions_, function);
}

tvm_ffi::SafeCall KernelLibrary::find(const std::string& function) const {
  return reinterpret_cast<tvm_ffi::SafeCall>(dlsym(handle_, (std::string(kPrefix) + function).c_str()));
}

CallResult KernelFunction::Environment::invoke(tvm_ffi::SafeCall function, const tvm_ffi::Any* arguments,
                                               std::int32_t count) const {
  tvm_ffi::Any result{};
  if (function(nullptr, arguments, count, &result) == 0) {
    if (result.type_index >= tvm_ffi::kFirstObject && result.as_pointer != nullptr)
      release(result.as_pointer);
    return {};
  }
  void* error = nullptr;
  move_error(&error);
  if (error == nullptr)
    return std::unexpected(Raised{"RuntimeError", "the kernel failed without saying why"});
  const auto* cell =
      reinterpret_cast<const tvm_ffi::ErrorCell*>(static_cast<const char*>(error) + sizeof(tvm_ffi::Object));
  Raised raised{std::string(cell->kind.data, cell->kind.size),
                std::string(cell->message.data, cell->message.size)};
  release(error);
  return std::unexpected(std::move(raised));
}

CallResult KernelFunction::operator()(std::span<const tvm_ffi::Any> arguments) const {
  return environment_->invoke(entry_, arguments.data(), static_cast<std::int32_t>(arguments.size()));
}

Result<KernelFunction> KernelLibrary::function(const std::string& name) const {
  const tvm_ffi::SafeCall entry = find(name);
  if (entry == nullptr) return fail(Errc::not_found, "the library has no function `" + name + "`");
  return KernelFunction(entry, provider_);
}

Result<Signature> KernelLibrary::signature(const std::string& function) const {
  const tvm_ffi::SafeCall entry = find(function);
  if (entry == nullptr) return fail(Errc::not_found, "the library has no function `" + function + "`");
  // A function that reads its arguments before it counts them finds None, not the stack.
  const std::array<tvm_ffi::Any, 64> none{};
  const CallResult result = provider_->invoke(entry, none.data(), -1);
  if (result) return fail(Errc::corrupt, "`" + function + "` accepted a call with -1 arguments");
  return parse_signature(result.error().message);
}

CallResult KernelLibrary::call(const std::string& function, std::span<const Value> arguments) const {
  const tvm_ffi::SafeCall entry = find(function);
  if (entry == nullptr)
    return std::unexpected(Raised{"AttributeError", "the library has no `" + function + "`"});
  const auto packed = pack(arguments);
  return provider_->invoke(entry, packed.data(), static_cast<std::int32_t>(packed.size()));
}

void KernelLibrary::set_stream(std::int32_t device_id, void* stream) const {
  void* old = nullptr;
  provider_->set_stream(tvm_ffi::kCuda, device_id, stream, &old);
}

}  // namespace kernels::runtime
