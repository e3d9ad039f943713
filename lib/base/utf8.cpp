#include "kernels/base/utf8.h"

#include <algorithm>

namespace kernels {

static bool is_tail(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
}

/// The second byte decides about overlong forms, surrogates and the end of the range.
static bool second_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xe0:
      return second >= 0xa0;
    case 0xed:
      return second < 0xa0;
    case 0xf0:
      return second >= 0x90;
    case 0xf4:
      return second < 0x90;
    default:
      return true;
  }
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    std::size_t length = lead < 0x80                   ? 1
                         : lead >= 0xc2 && lead < 0xe0 ? 2
                         : lead >= 0xe0 && lead < 0xf0 ? 3
                         : lead >= 0xf0 && lead < 0xf5 ? 4
                                                       : 0;
    if (length == 0 || i + length > text.size()) return false;
    if (!std::ranges::all_of(text.substr(i + 1, length - 1), is_tail)) return false;
    if (length > 2 && !second_fits(lead, static_cast<unsigned char>(text[i + 1]))) return false;
    i += length;
  }
  return true;
}

}  // namespace kernels
