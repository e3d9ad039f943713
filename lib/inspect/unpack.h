#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/error.h"

// Decompression of images, bounded before anything is allocated. Not part of the public interface.

namespace kernels::inspect {

inline constexpr std::uint64_t kMaxUnpacked = 16ULL << 20;

/// Decodes one raw LZ4 block into exactly `size` bytes.
/// Errors  corrupt: anything that reads or writes outside; fewer or more bytes than promised.
/// Source  lz4 block format description, "LZ4 Block Format".
Result<std::vector<std::byte>> unpack_lz4(std::span<const std::byte> block, std::uint64_t size);

/// Decodes one zstd frame into exactly `size` bytes. Errors  corrupt.
Result<std::vector<std::byte>> unpack_zstd(std::span<const std::byte> frame, std::uint64_t size);

}  // namespace kernels::inspect
