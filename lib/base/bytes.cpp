#include "kernels/base/bytes.h"

namespace kernels {

Result<ByteView> ByteView::slice(std::uint64_t offset, std::uint64_t length) const {
  if (offset > size() || length > size() - offset)
    return fail(Errc::corrupt, "the range at " + std::to_string(offset) + " of " + std::to_string(length) +
                                   " bytes leaves the data of " + std::to_string(size()) + " bytes");
  return ByteView(bytes_.subspan(offset, length));
}

Result<std::string_view> ByteView::c_string(std::uint64_t offset) const {
  if (offset >= size()) return fail(Errc::corrupt, "a text begins outside the data");
  auto rest = bytes_.subspan(offset);
  const auto* begin = reinterpret_cast<const char*>(rest.data());
  const void* end = std::memchr(begin, 0, rest.size());
  if (end == nullptr) return fail(Errc::corrupt, "a text has no end inside the data");
  return std::string_view(begin, static_cast<std::size_t>(static_cast<const char*>(end) - begin));
}

}  // namespace kernels
