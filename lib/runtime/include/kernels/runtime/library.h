#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/runtime/tensor.h"

namespace kernels::runtime {

/// One argument of a call. A tensor is borrowed and must outlive the call.
using Value = std::variant<std::monostate, std::int64_t, double, bool, const Tensor*>;

/// What a kernel raised instead of a result: an expected answer, not a failure of this program.
struct Raised {
  std::string kind;  ///< "TypeError", "ValueError", …
  std::string message;
};
using CallResult = std::expected<void, Raised>;

/// Argument types as the kernel itself states them, for example {"DLTensor*", "DLTensor*", "float"}.
struct Signature {
  std::vector<std::string> arguments;
  std::string result;
};

/// Reads the signature out of the text of an arity error: "…: `name(0: DLTensor*, 1: float) -> None`.
/// Expected…". Errors  corrupt: the text has another form.
Result<Signature> parse_signature(std::string_view arity_error);

/// The one shared library directly in the folder of a variant.
/// Errors  not_found: there is none; corrupt: there are several; io.
Result<std::filesystem::path> find_library(const std::filesystem::path& folder);

/// One function of a library that is loaded, for callers that pack their arguments themselves.
class KernelFunction {
 public:
  /// Calls. A returned object is released. Cost  the function itself and two comparisons.
  CallResult operator()(std::span<const tvm_ffi::Any> arguments) const;

 private:
  friend class KernelLibrary;
  struct Environment;
  KernelFunction(tvm_ffi::SafeCall entry, std::shared_ptr<const Environment> environment)
      : entry_(entry), environment_(std::move(environment)) {}
  tvm_ffi::SafeCall entry_;
  std::shared_ptr<const Environment> environment_;
};

/// A tvm-ffi kernel library in this process.
///
/// The provider (our libtvm_ffi.so or the real one) is loaded first, visible to all, the kernel library after
/// it, everything bound at once, so that a missing function shows now and not in the middle of a run. Neither
/// is ever unloaded: a kernel may have registered things that point into itself. Code of the library runs
/// from `open` on; do this in a process that may die. Threads  one; streams and raised errors are per thread.
class KernelLibrary {
 public:
  /// Errors  not_found, corrupt (no ELF file for this machine), unsupported: the provider lacks functions
  /// that
  ///         the library imports (named), or the dynamic loader refuses it (its words).
  static Result<KernelLibrary> open(const std::filesystem::path& library,
                                    const std::filesystem::path& provider);

  /// Names without prefix, sorted.
  const std::vector<std::string>& functions() const { return functions_; }
  bool has(std::string_view function) const;

  /// Asks the function for its signature by a call with -1 arguments, which it must refuse before anything
  /// else. Errors  not_found; corrupt: it accepted the call, or refused it in another form.
  Result<Signature> signature(const std::string& function) const;

  /// Errors  not_found.
  Result<KernelFunction> function(const std::string& name) const;

  /// Calls. A returned object is released; a function that is not there raises AttributeError.
  CallResult call(const std::string& function, std::span<const Value> arguments) const;

  /// Which stream CUDA kernels use from now on in this thread.
  void set_stream(std::int32_t device_id, void* stream) const;

 private:
  using Provider = KernelFunction::Environment;
  KernelLibrary(void* handle, std::shared_ptr<const Provider> provider, std::vector<std::string> functions)
      : handle_(handle), provider_(std::move(provider)), functions_(std::move(functions)) {}
  tvm_ffi::SafeCall find(const std::string& function) const;

  void* handle_;                              // never closed, see above
  std::shared_ptr<const Provider> provider_;  // shared by the libraries of one process that use the same one
  std::vector<std::string> functions_;
};

}  // namespace kernels::runtime
