#include "kernels/bundle/frame.h"

#include <algorithm>
#include <array>

#include "kernels/bundle/rules.h"

namespace kernels::bundle {

namespace {

constexpr std::uint32_t kMagic = 0xFD2FB528;
constexpr std::uint64_t kMaxBlock = 128 << 10;
constexpr std::uint64_t kChecksumBytes = 4;

class Walker {
 public:
  Walker(ByteSource& source, const std::string& where) : source_(source), where_(where) {}

  Result<Frame> walk() {
    frame_.compressed_bytes = source_.size();
    if (auto good = header(); !good) return fail(std::move(good).error());
    if (auto good = blocks(); !good) return fail(std::move(good).error());
    if (frame_.content_bytes > blocks_ * block_limit())
      return refused("frame-form",
                     "at most " + std::to_string(blocks_ * block_limit()) + " bytes in " +
                         std::to_string(blocks_) + " blocks",
                     "a frame that states " + std::to_string(frame_.content_bytes));
    return frame_;
  }

 private:
  std::unexpected<Error> refused(const char* rule, std::string expected, std::string found) const {
    return refuse(
        {.rule = rule, .where = where_, .expected = std::move(expected), .found = std::move(found)});
  }
  std::unexpected<Error> ends_early() const {
    return refused("frame-single", "a whole zstd frame", "the end of the file within it");
  }

  /// The next `count` bytes (at most 8) as a little-endian number.
  Result<std::uint64_t> next(std::uint64_t count) {
    if (count > source_.size() - offset_) return ends_early();
    auto bytes = source_.view(offset_, count);
    if (!bytes) return fail(std::move(bytes).error());
    std::uint64_t value = 0;
    for (std::uint64_t i = count; i-- > 0;)
      value = value << 8 | static_cast<std::uint64_t>(bytes->bytes()[i]);
    offset_ += count;
    return value;
  }

  Status header() {
    auto magic = source_.size() < 4 ? Result<std::uint64_t>(0) : next(4);
    if (!magic) return fail(std::move(magic).error());
    if (*magic != kMagic)
      return refused("frame-magic", "a bundle, which is a zstd frame", "a file that begins otherwise");
    auto descriptor = next(1);
    if (!descriptor) return fail(std::move(descriptor).error());
    bool is_single_segment = (*descriptor & 0x20) != 0;
    if ((*descriptor & 0x1b) != 0)
      return refused("frame-form", "a frame without dictionary and reserved bits",
                     "the descriptor " + std::to_string(*descriptor));
    if ((*descriptor & 0x04) == 0) return refused("frame-form", "a frame with a checksum", "none");
    auto size_flag = *descriptor >> 6;
    if (size_flag == 0 && !is_single_segment)
      return refused("frame-form", "a frame that states the size of its content", "none");
    if (!is_single_segment)
      if (auto good = window(); !good) return good;
    constexpr std::array<std::uint64_t, 4> kSizeBytes = {1, 2, 4, 8};
    auto size = next(kSizeBytes.at(size_flag));
    if (!size) return fail(std::move(size).error());
    frame_.content_bytes = *size + (size_flag == 1 ? 256 : 0);
    if (is_single_segment) frame_.window_bytes = frame_.content_bytes;
    return bounds();
  }

  Status window() {
    auto byte = next(1);
    if (!byte) return fail(std::move(byte).error());
    auto base = 1ULL << (10 + (*byte >> 3));
    frame_.window_bytes = base + base / 8 * (*byte & 7);
    return {};
  }

  Status bounds() const {
    if (frame_.window_bytes > kMaxWindowBytes)
      return refused("frame-window", "a window of at most " + std::to_string(kMaxWindowBytes) + " bytes",
                     std::to_string(frame_.window_bytes));
    if (frame_.content_bytes / kMaxRatio > frame_.compressed_bytes)
      return refused("frame-ratio",
                     "at most " + std::to_string(kMaxRatio) + " times the " +
                         std::to_string(frame_.compressed_bytes) + " bytes of the file",
                     std::to_string(frame_.content_bytes) + " when unpacked");
    return {};
  }

  std::uint64_t block_limit() const {
    return std::min(kMaxBlock, std::max<std::uint64_t>(frame_.window_bytes, 1));
  }

  Status blocks() {
    constexpr std::uint64_t kRepeatedByte = 1;
    constexpr std::uint64_t kReserved = 3;
    for (bool is_last = false; !is_last; ++blocks_) {
      auto head = next(3);
      if (!head) return fail(std::move(head).error());
      is_last = (*head & 1) != 0;
      auto kind = *head >> 1 & 3;
      auto size = *head >> 3;
      if (kind == kReserved || size > block_limit())
        return refused("frame-form", "blocks of a known kind and of at most 128 KiB",
                       "another at byte " + std::to_string(offset_ - 3));
      auto stored = kind == kRepeatedByte ? 1 : size;
      if (stored > source_.size() - offset_) return ends_early();
      offset_ += stored;
    }
    if (source_.size() - offset_ < kChecksumBytes) return ends_early();
    offset_ += kChecksumBytes;
    if (offset_ == source_.size()) return {};
    return refused("frame-single", "the end of the file at byte " + std::to_string(offset_),
                   std::to_string(source_.size() - offset_) + " more bytes");
  }

  ByteSource& source_;
  const std::string& where_;
  Frame frame_;
  std::uint64_t offset_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace

Result<Frame> examine_frame(ByteSource& source, const std::string& where) {
  return Walker(source, where).walk();
}

}  // namespace kernels::bundle
