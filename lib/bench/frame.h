#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace kernels::bench {

/// A worker is started with these descriptors: its case, its answers, the requests for samples.
inline constexpr int kRequestDescriptor = 3;
inline constexpr int kAnswerDescriptor = 4;
inline constexpr int kMoreDescriptor = 5;

inline constexpr std::size_t kMaxFrame = 16 << 20;

/// Writes one frame, however often write(2) returns early. Errors  io (the other side is gone); corrupt (too
/// long).
Status write_frame(int fd, std::string_view payload);

/// The same over a socket whose other end may be gone.
Status send_frame(int socket, std::string_view payload);

/// Reads one frame and waits for it. Nothing at the end of the stream. Errors  io; corrupt (too long, cut
/// off).
Result<std::optional<std::string>> read_frame(int fd);

/// Collects bytes as they come and hands out complete frames.
class FrameReader {
 public:
  void append(std::string_view bytes) { buffer_.append(bytes); }
  /// Nothing until a frame is complete. Errors  corrupt.
  Result<std::optional<std::string>> next();

 private:
  std::string buffer_;
};

}  // namespace kernels::bench
