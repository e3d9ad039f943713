#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/runner.h"

namespace kernels::runtime {

/// Without blanks at both ends.
std::string_view trimmed(std::string_view text);

/// Numbers as the types that a signature names; tensors as they are. Errors  invalid_argument.
Result<std::vector<Value>> as_types(std::span<const Value> arguments, const Signature& signature);

/// In the form of tvm-ffi. Tensors are borrowed.
std::vector<tvm_ffi::Any> pack(std::span<const Value> values);

/// dlopen, never to be undone. Errors  unsupported, with the loader's words.
Result<void*> load_library(const std::filesystem::path& path, int flags);

/// Binds, and calls once. What cannot be bound is raised.
CallResult call_bound(const Runner& runner, const std::string& function, std::span<const Value> arguments);

}  // namespace kernels::runtime
