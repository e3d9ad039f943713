#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/byte_source.h"
#include "kernels/base/error.h"

namespace kernels::bundle {

inline constexpr std::uint64_t kMaxWindowBytes = 1ULL << 27;
inline constexpr std::uint64_t kMaxRatio = 1000;

/// What the headers of a zstd file say, without unpacking any of it.
struct Frame {
  std::uint64_t compressed_bytes = 0;  ///< of the whole file
  std::uint64_t content_bytes = 0;     ///< when unpacked, as stated; the decoder holds it to that
  std::uint64_t window_bytes = 0;      ///< memory that unpacking takes
};

/// Walks over the blocks of a zstd file, by their sizes, from its first byte to its last: it must be one
/// frame that states its size and has a checksum, and nothing else. `where` names the file in errors. Errors
/// integrity, see the `frame-…` rules; io. Cost    one small read for each 128 KiB of content. Source  RFC
/// 8878, 3.1.1.
Result<Frame> examine_frame(ByteSource& source, const std::string& where);

}  // namespace kernels::bundle
