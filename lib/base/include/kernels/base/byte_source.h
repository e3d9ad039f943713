#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/bytes.h"
#include "kernels/base/error.h"

namespace kernels {

/// The bytes [offset, offset + length) of something larger.
struct ByteExtent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const ByteExtent&) const = default;
};

/// Bytes that can be read at any place without all of them being in memory: a file, a file on the Hub, a text
/// in a test. They may be hostile; every access is checked.
///
/// A view is borrowed from the source and ends with the next call of that source: take numbers and texts out
/// of it before. The work that one source does is bounded, so that a small hostile file cannot keep a reader
/// busy: past the bound every call fails. Errors   corrupt: a range leaves the data; io, network: from where
/// the bytes are; unsupported: past the bound. Threads  for one thread at a time.
class ByteSource {
 public:
  /// The longest view that can be asked for, in bytes.
  static constexpr std::uint64_t kMaxView = 1 << 20;

  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;

  /// The bytes [offset, offset + length), at most `kMaxView`.
  virtual Result<ByteView> view(std::uint64_t offset, std::uint64_t length) = 0;

  /// Says what will be read soon, so that a source that is far away fetches it at once. Extents are cut to
  /// the data; local sources do nothing.
  virtual void prefetch(std::span<const ByteExtent> extents);

  /// The first place at or after `offset` that may hold something else than zeros: holes of a sparse file are
  /// skipped. `size()` if only zeros follow.
  virtual std::uint64_t next_data(std::uint64_t offset) { return offset; }

  /// A little-endian integer at `offset`.
  template <class T>
  Result<T> le(std::uint64_t offset) {
    auto bytes = view(offset, sizeof(T));
    if (!bytes) return std::unexpected(std::move(bytes).error());
    return bytes->template le<T>(0);
  }

  /// The text from `offset` up to, and without, the next zero byte, which must come within `limit` bytes and
  /// before `end`. Borrowed as a view is.
  Result<std::string_view> c_string(std::uint64_t offset, std::uint64_t end, std::uint64_t limit);

 protected:
  /// Whether a view of this range can be asked for. Errors  corrupt, unsupported.
  Status check_view(std::uint64_t offset, std::uint64_t length) const;
};

/// Bytes in memory, which must outlive the source.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Result<ByteView> view(std::uint64_t offset, std::uint64_t length) override;

 private:
  ByteView bytes_;
};

/// A part of another source, with offsets of its own. The other source must outlive it.
class PartSource final : public ByteSource {
 public:
  /// `part` must lie inside `whole`; what does not is cut off.
  PartSource(ByteSource& whole, ByteExtent part);
  std::uint64_t size() const override { return part_.length; }
  Result<ByteView> view(std::uint64_t offset, std::uint64_t length) override;
  void prefetch(std::span<const ByteExtent> extents) override;
  std::uint64_t next_data(std::uint64_t offset) override;

 private:
  ByteSource& whole_;
  ByteExtent part_;
};

/// A regular file (links are followed), read in small blocks through a cache of 8 MiB. The file is never
/// mapped: one that shrinks while it is read is an error, not a signal. At most 2 GiB are read in all. Errors
/// as of `read_file`.
Result<std::unique_ptr<ByteSource>> open_file_source(const std::filesystem::path& path);

}  // namespace kernels
