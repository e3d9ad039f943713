#include "zstd_input.h"

#include <bit>

#include <zstd.h>

#include "kernels/bundle/frame.h"
#include "kernels/bundle/rules.h"

namespace kernels::bundle {

void ZstdInput::Free::operator()(ZSTD_DCtx_s* context) const {
  ::ZSTD_freeDCtx(context);
}

ZstdInput::ZstdInput(Input packed, std::string where)
    : packed_(std::move(packed)),
      where_(std::move(where)),
      context_(::ZSTD_createDCtx()),
      buffer_(::ZSTD_DStreamOutSize()) {
  if (context_)
    ::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, std::bit_width(kMaxWindowBytes) - 1);
}

ZstdInput::~ZstdInput() = default;

Result<std::span<const std::byte>> ZstdInput::next() {
  if (!context_) return fail(Errc::io, "no memory to unpack " + where_);
  for (;;) {
    if (rest_.empty()) {
      auto more = packed_();
      if (!more) return more;
      rest_ = *more;
    }
    if (is_complete_ && rest_.empty()) return std::span<const std::byte>();
    if (is_complete_)
      return refuse({.rule = "frame-single",
                     .where = where_,
                     .expected = "the end of the file after the frame",
                     .found = "more bytes"});
    ZSTD_inBuffer in{.src = rest_.data(), .size = rest_.size(), .pos = 0};
    ZSTD_outBuffer out{.dst = buffer_.data(), .size = buffer_.size(), .pos = 0};
    auto left = ::ZSTD_decompressStream(context_.get(), &out, &in);
    bool has_stopped = ::ZSTD_isError(left) == 0 && left != 0 && in.pos == 0 && out.pos == 0;
    if (::ZSTD_isError(left) != 0 || has_stopped)
      return refuse({.rule = "frame-content",
                     .where = where_,
                     .expected = "a zstd frame that unpacks",
                     .found = has_stopped ? "its end too early" : in_ticks(::ZSTD_getErrorName(left))});
    rest_ = rest_.subspan(in.pos);
    is_complete_ = left == 0;
    if (out.pos > 0) return std::span<const std::byte>(buffer_).first(out.pos);
  }
}

}  // namespace kernels::bundle
