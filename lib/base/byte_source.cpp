#include "kernels/base/byte_source.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/file.h"

namespace kernels {

namespace fs = std::filesystem;

void ByteSource::prefetch(std::span<const ByteExtent> /*extents*/) {}

Result<std::string_view> ByteSource::c_string(std::uint64_t offset, std::uint64_t end, std::uint64_t limit) {
  end = std::min(end, size());
  if (offset >= end) return fail(Errc::corrupt, "a text begins outside the data");
  limit = std::min({limit, end - offset, kMaxView});
  // Most texts are short, and a long view costs a copy.
  for (std::uint64_t length = std::min<std::uint64_t>(limit, 128);; length = std::min(limit, length * 16)) {
    auto bytes = view(offset, length);
    if (!bytes) return std::unexpected(std::move(bytes).error());
    const auto* begin = reinterpret_cast<const char*>(bytes->bytes().data());
    if (const void* zero = std::memchr(begin, 0, length))
      return std::string_view(begin, static_cast<std::size_t>(static_cast<const char*>(zero) - begin));
    if (length == limit)
      return fail(Errc::corrupt, "the text at " + std::to_string(offset) + " has no end within " +
                                     std::to_string(limit) + " bytes");
  }
}

Status ByteSource::check_view(std::uint64_t offset, std::uint64_t length) const {
  if (length > kMaxView) return fail(Errc::unsupported, "a view of more than 1 MiB");
  if (offset > size() || length > size() - offset)
    return fail(Errc::corrupt, "the range at " + std::to_string(offset) + " of " + std::to_string(length) +
                                   " bytes leaves the data of " + std::to_string(size()) + " bytes");
  return {};
}

Result<ByteView> MemorySource::view(std::uint64_t offset, std::uint64_t length) {
  if (auto fits = check_view(offset, length); !fits) return std::unexpected(std::move(fits).error());
  return bytes_.slice(offset, length);
}

PartSource::PartSource(ByteSource& whole, ByteExtent part) : whole_(whole), part_(part) {
  part_.offset = std::min(part_.offset, whole.size());
  part_.length = std::min(part_.length, whole.size() - part_.offset);
}

Result<ByteView> PartSource::view(std::uint64_t offset, std::uint64_t length) {
  if (auto fits = check_view(offset, length); !fits) return std::unexpected(std::move(fits).error());
  return whole_.view(part_.offset + offset, length);
}

void PartSource::prefetch(std::span<const ByteExtent> extents) {
  std::vector<ByteExtent> moved;
  for (const auto& extent : extents)
    if (extent.offset < part_.length)
      moved.push_back({.offset = part_.offset + extent.offset,
                       .length = std::min(extent.length, part_.length - extent.offset)});
  whole_.prefetch(moved);
}

std::uint64_t PartSource::next_data(std::uint64_t offset) {
  if (offset >= part_.length) return part_.length;
  return std::min(whole_.next_data(part_.offset + offset) - part_.offset, part_.length);
}

namespace {

class FileSource final : public ByteSource {
 public:
  FileSource(UniqueFd fd, std::uint64_t size, std::string path)
      : fd_(std::move(fd)),
        size_(size),
        path_(std::move(path)),
        tags_(kBlocks, kEmpty),
        blocks_(std::make_unique_for_overwrite<std::byte[]>(kBlocks * kBlock)) {}

  std::uint64_t size() const override { return size_; }

  Result<ByteView> view(std::uint64_t offset, std::uint64_t length) override {
    if (auto fits = check_view(offset, length); !fits) return std::unexpected(std::move(fits).error());
    if (length <= kBlock && offset / kBlock == (offset + std::max<std::uint64_t>(length, 1) - 1) / kBlock)
      return from_block(offset, length);
    scratch_.resize(std::max<std::size_t>(scratch_.size(), length));
    auto part = std::span(scratch_).first(length);
    if (auto read = fill(part, offset); !read) return std::unexpected(std::move(read).error());
    return ByteView(part);
  }

  std::uint64_t next_data(std::uint64_t offset) override {
    if (offset >= size_) return size_;
    auto found = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (found >= 0) return std::min(static_cast<std::uint64_t>(found), size_);
    return errno == ENXIO ? size_ : offset;  // other file systems do not know holes
  }

 private:
  static constexpr std::uint64_t kBlock = 4096;
  static constexpr std::uint64_t kBlocks = 2048;
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  static constexpr std::uint64_t kMaxRead = 2ULL << 30;

  Result<ByteView> from_block(std::uint64_t offset, std::uint64_t length) {
    auto number = offset / kBlock;
    auto slot = number % kBlocks;
    auto begin = number * kBlock;
    auto held = std::min(kBlock, size_ - begin);
    auto block = std::span(blocks_.get() + slot * kBlock, held);
    if (tags_[slot] != number) {
      tags_[slot] = kEmpty;
      if (auto read = fill(block, begin); !read) return std::unexpected(std::move(read).error());
      tags_[slot] = number;
    }
    return ByteView(block.subspan(offset - begin, length));
  }

  Status fill(std::span<std::byte> bytes, std::uint64_t offset) {
    total_ += bytes.size();
    if (total_ > kMaxRead)
      return fail(Errc::unsupported,
                  "`" + path_ + "` asks for more reading than any library needs; it was not read to its end");
    auto got = read_at(fd_.get(), bytes, offset, path_);
    if (!got) return std::unexpected(std::move(got).error());
    if (*got < bytes.size()) return fail(Errc::io, "`" + path_ + "` became shorter while it was read");
    return {};
  }

  UniqueFd fd_;
  std::uint64_t size_;
  std::string path_;
  std::vector<std::uint64_t> tags_;
  std::unique_ptr<std::byte[]> blocks_;  // not cleared: only blocks that are used cost memory
  std::vector<std::byte> scratch_;
  std::uint64_t total_ = 0;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_file_source(const fs::path& path) {
  std::uint64_t size = 0;
  auto fd = open_regular_file(path, size);
  if (!fd) return std::unexpected(std::move(fd).error());
  return std::make_unique<FileSource>(std::move(*fd), size, path.string());
}

}  // namespace kernels
