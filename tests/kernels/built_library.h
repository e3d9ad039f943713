#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "kernels/runtime/cuda.h"
#include "kernels/runtime/library.h"

#include "operands.h"
#include "support/catch.h"
#include "support/hub_tree.h"

namespace kernels::test {

/// What a call returned, or the end of the test.
template <class T>
T must(Result<T> result) {
  if (!result) FAIL(describe(result.error()));
  return std::move(*result);
}
inline void must(const Status& status) {
  if (!status) FAIL(describe(status.error()));
}

/// A variant of one of our own kernels, as this build made it: that for CUDA, or that for the CPU.
inline runtime::KernelLibrary open_library(const std::string& kernel, bool cuda) {
  for (const auto& variant : built_variants())
    if (variant.cuda == cuda && variant.kernel == kernel)
      return must(runtime::KernelLibrary::open(variant.library, provider_path()));
  FAIL(kernel << " is not built");
  std::abort();
}
inline runtime::KernelLibrary open_cpu_library(const std::string& kernel) {
  return open_library(kernel, false);
}

/// What `memory` begins with, as a dense tensor on the first CUDA device.
inline runtime::Tensor cuda_tensor(const runtime::CudaMemory& memory, runtime::DType type,
                                   std::vector<std::int64_t> sizes) {
  return {bench::device_pointer(memory.address()), type, runtime::Layout::dense(std::move(sizes)),
          runtime::DeviceKind::cuda, 0};
}

}  // namespace kernels::test
