#include "kernels/base/secret.h"

#include <algorithm>
#include <array>

#include <unistd.h>

namespace kernels {

std::vector<std::string> environment_without_tokens() {
  constexpr std::array<std::string_view, 3> kTokens = {
      "HF_TOKEN=", "HUGGING_FACE_HUB_TOKEN=", "KERNELS_SERVE_TOKEN="};
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    bool is_token =
        std::ranges::any_of(kTokens, [&](std::string_view name) { return text.starts_with(name); });
    if (!is_token) out.emplace_back(text);
  }
  return out;
}

}  // namespace kernels
