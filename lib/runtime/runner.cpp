#include "kernels/runtime/runner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"

#include "runner_impl.h"

namespace kernels::runtime {

namespace {

Result<Value> as_type(const Value& value, const std::string& type) {
  const auto* whole = std::get_if<std::int64_t>(&value);
  const auto* real = std::get_if<double>(&value);
  if (whole == nullptr && real == nullptr) return value;
  const double number = whole != nullptr ? static_cast<double>(*whole) : *real;
  if (type.starts_with("int") || type.starts_with("SymInt")) {
    if (number != std::floor(number) || std::fabs(number) > 1e15)
      return fail(Errc::invalid_argument, std::to_string(number) + " is not a whole number");
    return Value(static_cast<std::int64_t>(number));
  }
  if (type.starts_with("bool")) return Value(number != 0);
  return Value(number);
}

class TvmFfiCall final : public BoundCall {
 public:
  TvmFfiCall(KernelFunction function, std::vector<tvm_ffi::Any> arguments)
      : function_(std::move(function)), arguments_(std::move(arguments)) {}
  CallResult operator()() override { return function_(arguments_); }

 private:
  KernelFunction function_;
  std::vector<tvm_ffi::Any> arguments_;
};

class TvmFfiRunner final : public Runner {
 public:
  explicit TvmFfiRunner(KernelLibrary library) : library_(std::move(library)) {}

  bool has(std::string_view function) const override { return library_.has(function); }
  Result<Signature> signature(const std::string& function) const override {
    // Asked once: the answer is a call that the function refuses.
    if (const auto known = signatures_.find(function); known != signatures_.end()) return known->second;
    auto signature = library_.signature(function);
    if (signature) signatures_.emplace(function, *signature);
    return signature;
  }

  Result<std::unique_ptr<BoundCall>> bind(const std::string& function,
                                          std::span<const Value> arguments) const override {
    auto signature = this->signature(function);
    if (!signature) return fail(std::move(signature).error());
    auto values = as_types(arguments, *signature);
    if (!values) return fail(std::move(values).error().while_doing("calling `" + function + "`"));
    auto entry = library_.function(function);
    if (!entry) return fail(std::move(entry).error());
    return std::make_unique<TvmFfiCall>(std::move(*entry), pack(*values));
  }

  CallResult call(const std::string& function, std::span<const Value> arguments) const override {
    return call_bound(*this, function, arguments);
  }

  Status set_stream(std::int32_t device_id, void* stream) override {
    library_.set_stream(device_id, stream);
    return {};
  }

 private:
  KernelLibrary library_;
  mutable std::map<std::string, Signature> signatures_;
};

}  // namespace

Result<std::vector<Value>> as_types(std::span<const Value> arguments, const Signature& signature) {
  if (arguments.size() != signature.arguments.size())
    return fail(Errc::invalid_argument, "expected " + std::to_string(signature.arguments.size()) +
                                            " arguments, got " + std::to_string(arguments.size()));
  std::vector<Value> out;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    auto value = as_type(arguments[i], signature.arguments[i]);
    if (!value) return fail(std::move(value).error());
    out.push_back(*value);
  }
  return out;
}

CallResult call_bound(const Runner& runner, const std::string& function, std::span<const Value> arguments) {
  auto bound = runner.bind(function, arguments);
  if (bound) return (**bound)();
  const bool is_missing = bound.error().code() == Errc::not_found;
  return std::unexpected(Raised{is_missing ? "AttributeError" : "TypeError", bound.error().text()});
}

std::string_view name_of(Abi abi) {
  return abi == Abi::tvm_ffi ? "tvm-ffi" : "torch";
}

Result<Abi> abi_of(const std::filesystem::path& library) {
  const auto read = [&]() -> Result<Abi> {
    auto source = open_file_source(library);
    if (!source) return fail(std::move(source).error());
    auto file = read_elf(**source);
    if (!file) return fail(std::move(file).error());
    const std::array<std::string_view, 1> prefixes{tvm_ffi::kFunctionPrefix};
    auto functions = exported_symbols(**source, *file, prefixes);
    if (!functions) return fail(std::move(functions).error());
    if (!functions->empty()) return Abi::tvm_ffi;
    auto imports = undefined_symbols(**source, *file);
    if (!imports) return fail(std::move(imports).error());
    // A classic library registers itself by C++, one of the stable ABI by libtorch's C interface.
    constexpr std::array<std::string_view, 4> kTorch = {"aoti_torch_", "torch_", "_ZN5torch7Library",
                                                        "_ZN3c10"};
    for (const auto& symbol : *imports)
      for (auto prefix : kTorch)
        if (symbol.name.starts_with(prefix)) return Abi::torch;
    return fail(
        Errc::unsupported,
        "it neither exports functions of tvm-ffi (`__tvm_ffi_…`) nor registers operators with libtorch");
  };
  auto abi = read();
  if (!abi) return fail(std::move(abi).error().while_doing("reading `" + library.string() + "`"));
  return abi;
}

Result<std::unique_ptr<Runner>> open_tvm_ffi_runner(const std::filesystem::path& library,
                                                    const std::filesystem::path& provider) {
  auto opened = KernelLibrary::open(library, provider);
  if (!opened) return fail(std::move(opened).error());
  return std::make_unique<TvmFfiRunner>(std::move(*opened));
}

}  // namespace kernels::runtime
