#pragma once

#include <string>
#include <vector>

#include "kernels/base/bytes.h"
#include "kernels/base/error.h"

namespace kernels::runtime {

/// A version that a file asks of a library it needs: {"libc.so.6", "GLIBC_2.17"}.
struct NeededVersion {
  std::string library;
  std::string version;
};

/// What a shared library offers and asks for, as the dynamic loader sees it.
struct DynamicSymbols {
  std::vector<std::string> defined;
  std::vector<std::string> undefined;  ///< without weak ones, which may stay missing
  std::vector<std::string> needed;     ///< DT_NEEDED, in order
  std::vector<NeededVersion> versions;
  bool has_run_path = false;
};

/// Reads program headers, the dynamic section, its symbols and its versions; section headers are not used, so
/// that stripped files work. 64-bit little-endian ELF. Errors  corrupt, for anything that leaves the file.
/// The work is bounded by the size of the file.
Result<DynamicSymbols> read_dynamic_symbols(ByteView file);

}  // namespace kernels::runtime
