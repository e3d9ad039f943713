// One libFuzzer program: the target named by KERNELS_FUZZ_TARGET.

#include <cstdint>
#include <cstdlib>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto* target = [] {
    for (const auto& candidate : kernels::fuzz::targets())
      if (std::string_view(candidate.name) == KERNELS_FUZZ_TARGET) return &candidate;
    std::abort();
  }();
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
