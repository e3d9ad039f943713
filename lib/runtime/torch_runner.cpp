#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <map>
#include <set>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"
#include "kernels/base/file.h"

#include "runner_impl.h"
#include "torch_shim_impl.h"

namespace kernels::runtime {

namespace {

namespace fs = std::filesystem;

/// An operator that can be called.
struct Operator {
  std::string name;  ///< "ns::op"
  std::string overload;
  Signature signature;
  std::vector<bool> returns_tensor;  ///< for each result
};

/// Follows brackets and the quotes of default values through a text.
class Nesting {
 public:
  /// The depth after this character; inside of quotes nothing counts.
  int after(char c) {
    if (c == '"' && before_ != '\\') is_quoted_ = !is_quoted_;
    before_ = c;
    if (is_quoted_) return depth_ + 1;
    if (c == '(' || c == '[') ++depth_;
    if (c == ')' || c == ']') --depth_;
    return depth_;
  }

 private:
  int depth_ = 0;
  char before_ = ' ';
  bool is_quoted_ = false;
};

/// Splits at commas that are not inside of anything.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> out;
  Nesting nesting;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (nesting.after(text[i]) > 0 || text[i] != ',') continue;
    out.push_back(trimmed(text.substr(begin, i - begin)));
    begin = i + 1;
  }
  if (!trimmed(text.substr(begin)).empty()) out.push_back(trimmed(text.substr(begin)));
  return out;
}

/// The type of `Tensor($0! -> ) out` or `float eps=1e-06`: what stands before the name.
Result<std::string> type_of(std::string_view argument) {
  Nesting nesting;
  for (std::size_t i = 0; i < argument.size(); ++i)
    if (nesting.after(argument[i]) <= 0 && argument[i] == ' ' && i > 0)
      return std::string(argument.substr(0, i));
  return fail(Errc::corrupt, "no type and name in `" + std::string(argument) + "`");
}

/// Where the bracket that opens at `open` closes.
std::size_t closing(std::string_view text, std::size_t open) {
  Nesting nesting;
  for (std::size_t i = open; i < text.size(); ++i)
    if (nesting.after(text[i]) <= 0) return i;
  return std::string_view::npos;
}

std::vector<bool> tensors_among(std::string_view result) {
  if (result.starts_with('(') && result.ends_with(')')) result = result.substr(1, result.size() - 2);
  std::vector<bool> out;
  for (auto type : split(result))
    out.push_back(type.starts_with("Tensor"));
  return out;
}

/// What is written to standard error while this lives.
class CapturedErrors {
 public:
  CapturedErrors() : file_(memfd_create("errors", MFD_CLOEXEC)), before_(dup(STDERR_FILENO)) {
    if (file_ && before_) dup2(file_.get(), STDERR_FILENO);
  }
  CapturedErrors(const CapturedErrors&) = delete;
  CapturedErrors& operator=(const CapturedErrors&) = delete;
  ~CapturedErrors() {
    if (file_ && before_) dup2(before_.get(), STDERR_FILENO);
  }

  std::string text() const {
    constexpr std::size_t kMost = 4000;
    std::string out(kMost, '\0');
    const auto size = pread(file_.get(), out.data(), out.size(), 0);
    out.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return out;
  }

 private:
  UniqueFd file_;
  UniqueFd before_;
};

/// The words of an error among what libtorch logs: without its place in the sources and its trace.
std::string words_of(std::string text) {
  constexpr std::string_view kMark = "Exception in aoti_torch: ";
  if (auto mark = text.find(kMark); mark != std::string::npos) text.erase(0, mark + kMark.size());
  if (auto trace = text.find("\nException raised from "); trace != std::string::npos) text.resize(trace);
  return std::string(trimmed(text.substr(0, text.find('\n'))));
}

class TorchCall final : public BoundCall {
 public:
  TorchCall(const TorchShim& shim, const Operator& function) : shim_(shim), function_(function) {
    stack_.resize(std::max(function.signature.arguments.size(), function.returns_tensor.size()));
  }
  ~TorchCall() override {
    for (auto* tensor : tensors_)
      if (tensor != nullptr) shim_.delete_tensor(tensor);
  }

  Status take(std::span<const Value> arguments, std::int32_t device_index) {
    for (const auto& value : arguments) {
      tensors_.push_back(nullptr);
      numbers_.push_back(0);
      if (const auto* tensor = std::get_if<const Tensor*>(&value)) {
        if (auto taken = take(**tensor, device_index); !taken) return taken;
      } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        numbers_.back() = std::bit_cast<StableValue>(*whole);
      } else if (const auto* real = std::get_if<double>(&value)) {
        numbers_.back() = std::bit_cast<StableValue>(*real);
      } else if (const auto* truth = std::get_if<bool>(&value)) {
        numbers_.back() = *truth ? 1 : 0;
      }
    }
    return {};
  }

  CallResult operator()() override {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      stack_[i] = numbers_[i];
      if (tensors_[i] == nullptr) continue;
      TensorHandle handle = nullptr;  // the call takes its arguments with it
      if (shim_.new_handle(tensors_[i], &handle) != 0)
        return std::unexpected(Raised{"RuntimeError", "libtorch cannot copy a handle"});
      stack_[i] = reinterpret_cast<StableValue>(handle);
    }
    const auto* name = function_.name.c_str();
    const auto* overload = function_.overload.c_str();
    const auto failed = shim_.call_versioned != nullptr
                            ? shim_.call_versioned(name, overload, stack_.data(), shim_.abi_version())
                            : shim_.call(name, overload, stack_.data());
    if (failed != 0) {
      const char* text = shim_.last_error == nullptr ? nullptr : shim_.last_error();
      return std::unexpected(Raised{"RuntimeError", words_of(text == nullptr ? "" : text)});
    }
    for (std::size_t i = 0; i < function_.returns_tensor.size(); ++i)
      if (function_.returns_tensor[i]) shim_.delete_tensor(tensor_of(stack_[i]));
    return {};
  }

 private:
  static TensorHandle tensor_of(StableValue value) {
    return reinterpret_cast<TensorHandle>(value);  // NOLINT(performance-no-int-to-ptr): libtorch's own form
  }

  std::int32_t dtype_of(DType type) const {
    switch (type) {
      case DType::float16:
        return shim_.dtype_float16();
      case DType::bfloat16:
        return shim_.dtype_bfloat16();
      case DType::float64:
        return shim_.dtype_float64();
      case DType::float8_e4m3fn:
        return shim_.dtype_float8();
      case DType::int32:
        return shim_.dtype_int32();
      case DType::int64:
        return shim_.dtype_int64();
      case DType::float32:
        break;
    }
    return shim_.dtype_float32();
  }

  Status take(const Tensor& tensor, std::int32_t device_index) {
    const auto& layout = tensor.layout();
    const bool is_cuda = tensor.device() == DeviceKind::cuda;
    const auto failed =
        shim_.from_blob(tensor.data(), static_cast<std::int64_t>(layout.sizes.size()), layout.sizes.data(),
                        layout.strides.data(), 0, dtype_of(tensor.dtype()),
                        is_cuda ? shim_.device_cuda() : shim_.device_cpu(), is_cuda ? device_index : 0,
                        &tensors_.back(), shim_.layout_strided(), nullptr, 0);
    return failed == 0 ? Status() : fail(Errc::unsupported, "libtorch makes no tensor of this memory");
  }

  const TorchShim& shim_;
  const Operator& function_;
  std::vector<TensorHandle> tensors_;  ///< ours, for each argument; null: a number
  std::vector<StableValue> numbers_;
  std::vector<StableValue> stack_;
};

class TorchRunner final : public Runner {
 public:
  explicit TorchRunner(TorchShim shim) : shim_(shim) {}

  /// What the library registered while it was loaded.
  Status find_operators(const std::set<std::string>& before) {
    for (const auto& one : shim_.operator_names(shim_.dispatcher()))
      if (one.overload.empty() && !before.contains(one.name))
        full_names_.emplace(one.name.substr(one.name.rfind(':') + 1), one.name);
    if (full_names_.empty()) return fail(Errc::corrupt, "the library registers no operator with libtorch");
    return {};
  }

  bool has(std::string_view function) const override {
    return operator_named(std::string(function)).has_value();
  }

  Result<Signature> signature(const std::string& function) const override {
    auto found = operator_named(function);
    if (!found) return fail(std::move(found).error());
    return (*found)->signature;
  }

  Result<std::unique_ptr<BoundCall>> bind(const std::string& function,
                                          std::span<const Value> arguments) const override {
    auto found = operator_named(function);
    if (!found) return fail(std::move(found).error());
    auto values = as_types(arguments, (*found)->signature);
    if (!values) return fail(std::move(values).error().while_doing("calling `" + function + "`"));
    auto bound = std::make_unique<TorchCall>(shim_, **found);
    if (auto taken = bound->take(*values, device_index_); !taken) return fail(std::move(taken).error());
    return bound;
  }

  CallResult call(const std::string& function, std::span<const Value> arguments) const override {
    auto first = call_bound(*this, function, arguments);
    if (first || !first.error().message.empty()) return first;
    // Up to 2.12 libtorch only logs why: once more, and read it.
    const CapturedErrors errors;
    auto again = call_bound(*this, function, arguments);
    first.error().message =
        again ? "refused once, and not when it was called again" : words_of(errors.text());
    return first;
  }

  Status set_stream(std::int32_t device_id, void* stream) override {
    device_index_ = device_id;
    void* guard = nullptr;  // for the rest of the thread
    if (shim_.make_stream_guard == nullptr || shim_.make_stream_guard(stream, device_id, &guard) != 0)
      return fail(Errc::io, "libtorch does not take the stream");
    return {};
  }

 private:
  Result<const Operator*> operator_named(const std::string& function) const {
    std::string name = function;
    if (function.find("::") == std::string::npos) {
      const auto full = full_names_.find(function);
      if (full == full_names_.end())
        return fail(Errc::not_found, "the library registers no operator `" + function + "`");
      name = full->second;
    }
    if (const auto known = operators_.find(name); known != operators_.end()) return &known->second;
    auto schema = schema_of(name);
    if (!schema) return fail(std::move(schema).error());
    auto signature = parse_schema(*schema);
    if (!signature) return fail(std::move(signature).error());
    Operator made{.name = name, .overload = {}, .signature = *signature, .returns_tensor = {}};
    made.returns_tensor = tensors_among(made.signature.result);
    return &operators_.emplace(name, std::move(made)).first->second;
  }

  Result<std::string> schema_of(const std::string& name) const {
    try {
      const auto handle = shim_.find_schema(shim_.dispatcher(), name.c_str(), "");
      const auto state = shim_.dump_state(handle.definition);
      constexpr std::string_view kMark = "\nschema: ";
      const auto begin = state.find(kMark);
      if (begin == std::string::npos) return fail(Errc::corrupt, "`" + name + "` has no schema");
      const auto text = state.substr(begin + kMark.size());
      return text.substr(0, text.find('\n'));
    } catch (const std::exception& error) {
      return fail(Errc::not_found, "libtorch has no operator `" + name + "`: " + words_of(error.what()));
    }
  }

  TorchShim shim_;
  std::int32_t device_index_ = 0;
  std::map<std::string, std::string> full_names_;  ///< of what the library registers, by the name alone
  mutable std::map<std::string, Operator> operators_;
};

bool imports_python(const fs::path& library) {
  auto source = open_file_source(library);
  if (!source) return false;
  auto file = read_elf(**source);
  if (!file) return false;
  auto imports = undefined_symbols(**source, *file);
  return imports && std::ranges::any_of(*imports, [](const auto& symbol) {
           return symbol.name.starts_with("Py") || symbol.name.starts_with("_Py");
         });
}

}  // namespace

Result<Signature> parse_schema(std::string_view schema) {
  const auto wrong = [&] {
    return fail(Errc::corrupt, "no schema in `" + std::string(schema.substr(0, 200)) + "`");
  };
  const auto open = schema.find('(');
  const auto close = open == std::string_view::npos ? open : closing(schema, open);
  if (close == std::string_view::npos) return wrong();
  const auto rest = trimmed(schema.substr(close + 1));
  if (!rest.starts_with("->")) return wrong();
  Signature out;
  out.result = trimmed(rest.substr(2));
  for (auto argument : split(schema.substr(open + 1, close - open - 1))) {
    if (argument == "*") continue;  // what follows is named in Python
    auto type = type_of(argument);
    if (!type) return wrong();
    out.arguments.push_back(std::move(*type));
  }
  return out;
}

Result<std::unique_ptr<Runner>> open_torch_runner(const TorchRunnerOptions& options) {
  auto shim = load_torch(options.torch_lib, options.device == DeviceKind::cuda);
  if (!shim) return fail(std::move(shim).error());
  std::set<std::string> before;
  for (auto& one : shim->operator_names(shim->dispatcher()))
    before.insert(std::move(one.name));
  if (imports_python(options.library))
    if (auto stub = load_library(options.python_stub, RTLD_NOW | RTLD_GLOBAL); !stub)
      return fail(std::move(stub).error());
  // Classic libraries also have functions that only an interpreter needs: bound when they are used.
  if (auto handle = load_library(options.library, RTLD_LAZY | RTLD_LOCAL); !handle)
    return fail(std::move(handle).error());
  auto runner = std::make_unique<TorchRunner>(*shim);
  if (auto found = runner->find_operators(before); !found) return fail(std::move(found).error());
  return runner;
}

}  // namespace kernels::runtime
