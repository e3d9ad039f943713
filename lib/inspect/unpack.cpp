#include "unpack.h"

#include <algorithm>
#include <memory>

#include <zstd.h>

#include "kernels/base/bytes.h"

namespace kernels::inspect {

namespace {

std::unexpected<Error> damaged(const char* what) {
  return fail(Errc::corrupt, std::string("damaged ") + what + " compression");
}

/// Reads one LZ4 block; every step checks what is left of both sides.
class Lz4Block {
 public:
  Lz4Block(std::span<const std::byte> in, std::uint64_t size) : in_(in), size_(size) { out_.reserve(size); }

  bool decode() {
    while (at_ < in_.size()) {
      auto token = std::to_integer<std::uint8_t>(in_[at_++]);
      std::uint64_t literals = token >> 4U;
      if (!extend(literals) || !copy_literals(literals)) return false;
      if (at_ == in_.size()) return out_.size() == size_;  // the last sequence has literals only
      if (!copy_match(token & 15U)) return false;
    }
    return false;
  }

  std::vector<std::byte> take() { return std::move(out_); }

 private:
  /// A length of 15 goes on in further bytes, until one that is not 255.
  bool extend(std::uint64_t& length) {
    if (length != 15) return true;
    for (std::uint8_t more = 255; more == 255; length += more) {
      if (at_ == in_.size() || length > size_) return false;
      more = std::to_integer<std::uint8_t>(in_[at_++]);
    }
    return true;
  }

  bool copy_literals(std::uint64_t count) {
    if (count > in_.size() - at_ || count > size_ - out_.size()) return false;
    auto from = in_.subspan(at_, count);
    out_.insert(out_.end(), from.begin(), from.end());
    at_ += count;
    return true;
  }

  bool copy_match(std::uint64_t length) {
    if (in_.size() - at_ < 2) return false;
    auto distance = ByteView(in_).le<std::uint16_t>(at_).value_or(0);
    at_ += 2;
    if (!extend(length)) return false;
    length += 4;
    if (distance == 0 || distance > out_.size() || length > size_ - out_.size()) return false;
    // Byte by byte: a match may reach into what it writes.
    for (auto from = out_.size() - distance; length > 0; --length, ++from)
      out_.push_back(out_[from]);
    return true;
  }

  std::span<const std::byte> in_;
  std::uint64_t size_;
  std::size_t at_ = 0;
  std::vector<std::byte> out_;
};

struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

Result<std::vector<std::byte>> unpack_lz4(std::span<const std::byte> block, std::uint64_t size) {
  if (size > kMaxUnpacked) return fail(Errc::unsupported, "more than 16 MiB of GPU code in one piece");
  // A byte of the block stands for 255 at most.
  if (size / 255 > block.size()) return damaged("LZ4");
  Lz4Block reader(block, size);
  if (!reader.decode()) return damaged("LZ4");
  return reader.take();
}

Result<std::vector<std::byte>> unpack_zstd(std::span<const std::byte> frame, std::uint64_t size) {
  if (size > kMaxUnpacked) return fail(Errc::unsupported, "more than 16 MiB of GPU code in one piece");
  std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  if (!context) return fail(Errc::io, "no memory for decompression");
  // Room grows with what really comes out, because `size` is a claim.
  std::vector<std::byte> out(std::min<std::uint64_t>(size, 256ULL << 10));
  ZSTD_inBuffer in{.src = frame.data(), .size = frame.size(), .pos = 0};
  for (std::size_t filled = 0;;) {
    ZSTD_outBuffer to{.dst = out.data(), .size = out.size(), .pos = filled};
    auto left = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(left) != 0) return damaged("zstd");
    bool moved = to.pos != filled;
    filled = to.pos;
    if (left == 0) {
      if (filled != size) return damaged("zstd");
      return out;
    }
    if (filled == size) return damaged("zstd");
    if (filled == out.size())
      out.resize(std::min<std::uint64_t>(size, out.size() * 2));
    else if (in.pos == in.size && !moved)
      return damaged("zstd");
  }
}

}  // namespace kernels::inspect
