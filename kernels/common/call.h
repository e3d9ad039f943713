#pragma once

#include <cstdint>
#include <span>

#include "kernels/runtime/tvm_ffi_abi.h"

#include "common/dtype.h"

// What every exported function does before it launches: check arity, types, devices, shapes and strides, and
// raise a TypeError or ValueError that names the argument. A function that raised has touched no tensor.
// No exceptions, no allocation, nothing from the C++ runtime: the library loads on any system of
// manylinux_2_28.

namespace kernels::common {

/// One argument as it is stated in the signature text and in the metadata.
struct Argument {
  const char* name;
  const char* type;  ///< "DLTensor*" or "float"
  enum class Access : std::uint8_t { read, write, read_write } access;
};

struct Signature {
  const char* name;
  std::span<const Argument> arguments;
};

/// A tensor seen as rows of contiguous elements: all leading dimensions collapsed into one.
/// Invariant after `Call::rows`: sizes >= 0, `row_stride` >= `cols` where there is more than one row.
struct Rows {
  char* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;  ///< in elements
  ElementType type = ElementType::unknown;
  const tvm_ffi::Tensor* tensor = nullptr;
};

/// A tensor seen as heads of tokens: all dimensions before the last two collapsed into tokens. A head is
/// contiguous; heads and tokens have strides of their own, and either may lie within the other.
/// Invariant after `Call::heads`: sizes >= 0, and no two heads share an element.
struct Heads {
  char* data = nullptr;
  std::int64_t tokens = 0;
  std::int64_t heads = 0;
  std::int64_t cols = 0;
  std::int64_t token_stride = 0;  ///< in elements
  std::int64_t head_stride = 0;
  ElementType type = ElementType::unknown;
  const tvm_ffi::Tensor* tensor = nullptr;
};

/// The arguments of one call. Every function returns false after it has raised; then return -1 at once.
class Call {
 public:
  Call(const Signature& signature, const tvm_ffi::Any* args, std::int32_t count)
      : signature_(signature), args_(args), count_(count) {}

  /// The number of arguments. The text has the shape of tvm-ffi's own macro, so that one probe (a call with
  /// -1 arguments) reads the signature of either.
  bool arity() const;

  /// Argument `index` as rows of one of the element types of `allowed`, on `device`.
  bool rows(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed, Rows& out) const;

  /// Argument `index`, a vector of contiguous elements: a Rows with one row.
  bool vector(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed, Rows& out) const;

  /// Argument `index` as heads of tokens.
  bool heads(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed, Heads& out) const;

  /// Argument `index`, with one element for each row or token of `of`: its sizes are those of `of` before the
  /// `inner` last ones, with or without a 1 behind them, and it has no gaps. On the device of `of`; `out` is
  /// a Rows with one row.
  bool per_row(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
               const tvm_ffi::Tensor& of, std::int32_t inner, Rows& out) const;

  /// Argument `index` as a number; whole numbers are accepted.
  bool number(int index, double& out) const;

  /// Both on the same device, of the same type. `b` is argument `index`.
  bool alike(const Rows& a, int index, const Rows& b) const;

  /// The two halves of `alike`. `b` is of argument `index`.
  bool same_type(ElementType a, int index, ElementType b) const;
  bool same_device(const tvm_ffi::Tensor& a, int index, const tvm_ffi::Tensor& b) const;

  /// Shapes of `a` and of argument `index` agree in all but the last dimension.
  bool same_leading(const Rows& a, int index, const Rows& b) const;
  /// The same of all but the `inner` last dimensions.
  bool same_leading(const tvm_ffi::Tensor& a, int index, const tvm_ffi::Tensor& b, std::int32_t inner) const;

  /// Raises ValueError about argument `index`: "<function>: `<name>` <text>". Always false.
  bool bad_value(int index, const char* text, std::int64_t got, std::int64_t expected) const;

  /// Raises RuntimeError with the text of a failed launch. Returns -1, for the return statement.
  int launch_failed(const char* text) const;

 private:
  /// What is known of a tensor that is well-formed: on the right device, of a type that is taken, with at
  /// least so many dimensions, contiguous in the last one; `data` is null only if there is nothing.
  struct View {
    char* data = nullptr;
    std::int64_t count = 0;
    ElementType type = ElementType::unknown;
    const tvm_ffi::Tensor* tensor = nullptr;
  };
  bool sound(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
             std::int32_t dimensions, View& out) const;
  bool tensor(int index, const tvm_ffi::Tensor*& out) const;
  bool bad(const char* kind, int index, const char* text) const;
  const Signature& signature_;
  const tvm_ffi::Any* args_;
  std::int32_t count_;
};

/// `result` = None; returns 0, for the return statement.
int done(tvm_ffi::Any* result);

/// Answers `__tvm_ffi__metadata_<name>`: tvm-ffi's type schema, plus the argument names and which are
/// written.
int metadata(const Signature& signature, tvm_ffi::Any* result);

}  // namespace kernels::common

extern "C" {
void* TVMFFIEnvGetStream(std::int32_t device_type, std::int32_t device_id);
void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message);
int TVMFFIStringFromByteArray(const kernels::tvm_ffi::ByteArray* input, kernels::tvm_ffi::Any* out);
}

#define KERNELS_EXPORT extern "C" __attribute__((visibility("default")))

/// Exports `function` (int(const Call&)) as the tvm-ffi function `name`, with its metadata.
/// `signature` is evaluated after the arguments of the macro, so it must be a constant at namespace scope.
#define KERNELS_FUNCTION(name, signature, function)                                                 \
  KERNELS_EXPORT int __tvm_ffi_##name(void*, const kernels::tvm_ffi::Any* args, std::int32_t count, \
                                      kernels::tvm_ffi::Any* result) {                              \
    const kernels::common::Call call(signature, args, count);                                       \
    if (!call.arity()) return -1;                                                                   \
    const int failed = function(call);                                                              \
    return failed != 0 ? failed : kernels::common::done(result);                                    \
  }                                                                                                 \
  KERNELS_EXPORT int __tvm_ffi__metadata_##name(void*, const kernels::tvm_ffi::Any*, std::int32_t,  \
                                                kernels::tvm_ffi::Any* result) {                    \
    return kernels::common::metadata(signature, result);                                            \
  }
