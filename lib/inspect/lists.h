#pragma once

// The data files of `lib/inspect/data`, compiled into the library. Not part of the public interface.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/model/version.h"

namespace kernels::inspect {

/// The words of each line that is no comment.
std::vector<std::vector<std::string_view>> read_list(std::string_view text);

std::string_view manylinux_text();
std::string_view python_abi_text();
std::string_view torch_shim_text();
std::string_view tvm_ffi_text();

/// The release of Python that added a symbol to the stable ABI; nothing for symbols outside of it.
std::optional<MajorMinor> python_symbol_added(std::string_view name);

/// The releases of torch that have a C function: from `first` on, up to but without `gone`.
struct ShimRange {
  MajorMinor first;
  std::optional<MajorMinor> gone;
};
std::optional<ShimRange> torch_shim_range(std::string_view name);

/// The release of tvm-ffi that introduced a function: `0.1.13`. Empty: no release has it.
std::string_view tvm_ffi_added(std::string_view name);

struct PolicyRow {
  std::string_view policy;
  std::string_view cpu;
  std::string_view family;
  std::string_view version;
};
/// Rows of versions, not of libraries, the oldest policy first.
const std::vector<PolicyRow>& policy_rows();
/// The libraries that every system of manylinux_2_28 has.
const std::vector<std::string_view>& policy_libraries();

}  // namespace kernels::inspect
