#pragma once

#include <ranges>
#include <string>
#include <string_view>

namespace kernels {

/// The words in their order with `between` between them: `a, b, c`. Nothing for no words; an empty word keeps
/// its place. `words` is any range of what a std::string can be added to.
template <std::ranges::input_range Words>
std::string joined(Words&& words, std::string_view between = ", ") {
  std::string out;
  bool is_first = true;
  for (const auto& word : words) {
    if (!is_first) out += between;
    out += word;
    is_first = false;
  }
  return out;
}

}  // namespace kernels
