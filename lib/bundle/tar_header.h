#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kernels::bundle {

inline constexpr std::size_t kTarBlock = 512;
inline constexpr std::uint64_t kEndBytes = 2 * kTarBlock;
/// 1980-01-01T00:00:00Z: GNU tar warns of times before the eighties, and zip cannot say them.
inline constexpr std::int64_t kEntryTime = 315'532'800;
inline constexpr unsigned kEntryMode = 0644;

/// Bytes after the content up to a whole block.
constexpr std::uint64_t padding_bytes(std::uint64_t size) {
  return (kTarBlock - size % kTarBlock) % kTarBlock;
}
/// What an entry takes in the archive: header, content, padding.
constexpr std::uint64_t entry_bytes(std::uint64_t size) {
  return kTarBlock + size + padding_bytes(size);
}

/// The ustar header of a regular file; everything but name and size is fixed. `name` has less than 100 bytes,
/// `size` less than 8 GiB. Source  POSIX.1-2017, pax, "ustar Interchange Format".
std::array<std::byte, kTarBlock> tar_header(std::string_view name, std::uint64_t size);

}  // namespace kernels::bundle
