// The libFuzzer program of all targets: `fuzzer --target=lock [libFuzzer's options] CORPUS…`.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "targets.h"

namespace {

const kernels::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  constexpr std::string_view kOption = "--target=";  // libFuzzer leaves alone what begins with two dashes
  for (int i = 1; i < *count; ++i)
    if (std::string_view text((*arguments)[i]); text.starts_with(kOption))
      for (const auto& target : kernels::fuzz::targets())
        if (text.substr(kOption.size()) == target.name) chosen = &target;
  if (chosen != nullptr) return 0;
  std::fputs("usage: fuzzer --target=NAME [options of libFuzzer] CORPUS...\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
