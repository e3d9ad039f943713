#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "kernels/base/error.h"

namespace kernels {

/// A borrowed, read-only range of bytes that may be hostile. Every access is checked; no offset can overflow.
///
/// All parsers of binary formats read through this type and never cast to a struct.
/// Errors   corrupt, when a range leaves the view.
/// Threads  a value; the bytes must outlive it.
class ByteView {
 public:
  ByteView() = default;
  explicit ByteView(std::span<const std::byte> bytes) : bytes_(bytes) {}
  explicit ByteView(std::string_view text)
      : bytes_(std::as_bytes(std::span<const char>(text.data(), text.size()))) {}

  std::uint64_t size() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }

  /// The bytes [offset, offset + length).
  Result<ByteView> slice(std::uint64_t offset, std::uint64_t length) const;

  /// A little-endian integer at `offset`; no alignment is needed.
  template <class T>
    requires std::is_integral_v<T>
  Result<T> le(std::uint64_t offset) const {
    auto part = slice(offset, sizeof(T));
    if (!part) return std::unexpected(std::move(part).error());
    T value;
    std::memcpy(&value, part->bytes_.data(), sizeof(T));
    if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) value = std::byteswap(value);
    return value;
  }

  /// The text from `offset` up to, and without, the next zero byte, which must be inside the view.
  Result<std::string_view> c_string(std::uint64_t offset) const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace kernels
