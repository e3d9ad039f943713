#include "tar_header.h"

#include <algorithm>
#include <span>

namespace kernels::bundle {

/// Octal digits and a zero byte that fill the field.
static void put_octal(std::span<std::byte> field, std::uint64_t value) {
  field.back() = std::byte{0};
  for (std::size_t i = field.size() - 1; i-- > 0; value >>= 3)
    field[i] = static_cast<std::byte>('0' + (value & 7));
}

static void put_text(std::span<std::byte> field, std::string_view text) {
  std::ranges::transform(text, field.begin(), [](char letter) { return static_cast<std::byte>(letter); });
}

std::array<std::byte, kTarBlock> tar_header(std::string_view name, std::uint64_t size) {
  std::array<std::byte, kTarBlock> header{};
  std::span<std::byte> all(header);
  put_text(all.subspan(0, 100), name.substr(0, 99));
  put_octal(all.subspan(100, 8), kEntryMode);
  put_octal(all.subspan(108, 8), 0);  // owner
  put_octal(all.subspan(116, 8), 0);  // group
  put_octal(all.subspan(124, 12), size);
  put_octal(all.subspan(136, 12), kEntryTime);
  put_text(all.subspan(148, 8), "        ");
  put_text(all.subspan(156, 1), "0");
  put_text(all.subspan(257, 8), std::string_view("ustar\00000", 8));
  put_octal(all.subspan(329, 8), 0);
  put_octal(all.subspan(337, 8), 0);
  unsigned sum = 0;
  for (auto byte : header)
    sum += static_cast<unsigned>(byte);
  put_octal(all.subspan(148, 7), sum);  // six digits, a zero byte, and the blank that is there
  return header;
}

}  // namespace kernels::bundle
