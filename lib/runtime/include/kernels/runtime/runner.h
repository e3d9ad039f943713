#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/runtime/library.h"

// The functions of a kernel library behind one interface, whatever the ABI by which they are called. Code of
// the library runs from the opening on: do this in a process that may die. Nothing is ever unloaded.

namespace kernels::runtime {

/// A function with its arguments, to be called again and again as fast as its ABI allows. The tensors among
/// them are borrowed. Threads  one.
class BoundCall {
 public:
  BoundCall() = default;
  BoundCall(const BoundCall&) = delete;
  BoundCall& operator=(const BoundCall&) = delete;
  virtual ~BoundCall() = default;
  virtual CallResult operator()() = 0;
};

/// Threads  one; streams are per thread.
class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;

  virtual bool has(std::string_view function) const = 0;
  /// The types of the arguments as the library states them: what is a tensor has `Tensor` in it. Errors
  /// not_found; corrupt: the library states none that can be read.
  virtual Result<Signature> signature(const std::string& function) const = 0;
  /// Numbers are passed as the type that the signature names. Errors  not_found; corrupt; invalid_argument:
  /// other arguments than the signature has.
  virtual Result<std::unique_ptr<BoundCall>> bind(const std::string& function,
                                                  std::span<const Value> arguments) const = 0;
  /// One call with everything that is known about why it failed.
  virtual CallResult call(const std::string& function, std::span<const Value> arguments) const = 0;
  /// Which stream CUDA kernels use from now on in this thread. Errors  io.
  virtual Status set_stream(std::int32_t device_id, void* stream) = 0;
};

enum class Abi : std::uint8_t { tvm_ffi, torch };
std::string_view name_of(Abi abi);

/// By which ABI the functions of a library are called, read from its symbols: nothing of it runs.
/// Errors  io, corrupt (no ELF file); unsupported: it has functions of no known kind.
Result<Abi> abi_of(const std::filesystem::path& library);

/// Errors  as KernelLibrary::open.
Result<std::unique_ptr<Runner>> open_tvm_ffi_runner(const std::filesystem::path& library,
                                                    const std::filesystem::path& provider);

/// Functions registered with the dispatcher of libtorch, called through its C interface; classic and
/// stable-ABI libraries alike, without Python. A function is named with or without its namespace.
struct TorchRunnerOptions {
  std::filesystem::path library;
  std::filesystem::path torch_lib;    ///< the folder of libtorch_cpu.so
  std::filesystem::path python_stub;  ///< libkernels_python.so, which stands in for the interpreter
  DeviceKind device = DeviceKind::cpu;
};
/// Errors  not_found: no libtorch in the folder; unsupported: it lacks what is needed (named), or the dynamic
///         loader refuses a file (its words); corrupt: the library registers no function.
/// Cost  libtorch is loaded: a third of a second and more.
Result<std::unique_ptr<Runner>> open_torch_runner(const TorchRunnerOptions& options);

/// The argument types and the result of a schema as libtorch prints it:
/// "ns::op(Tensor($0! -> ) out, Tensor x, float eps=1e-06) -> ()". `result` is the text after the arrow.
/// Errors  corrupt: not such a text.
Result<Signature> parse_schema(std::string_view schema);

}  // namespace kernels::runtime
