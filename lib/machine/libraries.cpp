#include "libraries.h"

namespace kernels::machine {

std::optional<std::string> processor_of(const Sysroot&, const std::filesystem::path&) {
  return std::nullopt;
}
std::optional<std::string> newest_defined(const Sysroot&, const std::filesystem::path&, std::string_view) {
  return std::nullopt;
}

}  // namespace kernels::machine
