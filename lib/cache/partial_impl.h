#pragma once

// What stands behind the content of a file that is being downloaded. Not part of the public interface.
//
// 1. header   16 bytes magic, 8 bytes process number (little-endian), 64 bytes host and boot, zero-padded
// 2. records  offset and length of a piece that is there, 8 bytes each, little-endian

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/base/bytes.h"

namespace kernels::cache {

inline constexpr std::string_view kMagic = "kernels-partial1";
inline constexpr std::size_t kHostSize = 64;
inline constexpr std::size_t kHeaderSize = 16 + 8 + kHostSize;  // magic, process, host
inline constexpr std::size_t kRecordSize = 16;
inline constexpr std::uint64_t kMaxRecords = 1 << 20;

void put_u64(std::byte* to, std::uint64_t value);

/// The header for a file that this process writes.
std::array<std::byte, kHeaderSize> make_header();

/// Whether the process that a header names has ended for certain: on this host, or before its last boot.
bool writer_is_gone(ByteView header);

}  // namespace kernels::cache
