#pragma once

#include <cstdlib>
#include <string>
#include <utility>

#include "kernels/runtime/library.h"

#include "support/catch.h"
#include "support/hub_tree.h"

namespace kernels::test {

/// The CPU variant of one of our own kernels, as this build made it.
inline runtime::KernelLibrary open_cpu_library(const std::string& kernel) {
  for (const auto& variant : built_variants()) {
    if (variant.cuda || variant.kernel != kernel) continue;
    auto library = runtime::KernelLibrary::open(variant.library, provider_path());
    if (!library) FAIL(describe(library.error()));
    return std::move(*library);
  }
  FAIL(kernel << " is not built");
  std::abort();
}

}  // namespace kernels::test
