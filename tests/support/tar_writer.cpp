#include "support/tar_writer.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include <zstd.h>

namespace kernels::test {

namespace {

void put(std::string& block, std::size_t offset, const std::string& text) {
  block.replace(offset, text.size(), text);
}

std::string octal(std::uint64_t value, int digits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%0*llo", digits, static_cast<unsigned long long>(value));
  return text.data();
}

void set_parameter(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
  if (ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)) != 0)
    throw std::runtime_error("zstd refuses a parameter");
}

}  // namespace

std::string tar_entry(const TarEntry& entry) {
  std::string block(512, '\0');
  put(block, 0, entry.name.substr(0, 100));
  put(block, 100, octal(entry.mode, 7));
  put(block, 108, octal(entry.uid, 7));
  put(block, 116, octal(entry.gid, 7));
  put(block, 124, octal(entry.stated_size.value_or(entry.content.size()), 11));
  put(block, 136, octal(static_cast<std::uint64_t>(entry.mtime), 11));
  put(block, 148, "        ");
  block[156] = entry.type;
  put(block, 157, entry.link.substr(0, 100));
  put(block, 257, entry.magic.substr(0, 8));
  put(block, 265, entry.uname.substr(0, 31));
  put(block, 297, entry.gname.substr(0, 31));
  put(block, 329, octal(0, 7));
  put(block, 337, octal(0, 7));
  put(block, 345, entry.prefix.substr(0, 154));
  unsigned sum = 0;
  for (char letter : block)
    sum += static_cast<unsigned char>(letter);
  put(block, 148, octal(sum, 6) + std::string("\0 ", 2));
  auto padding = (512 - entry.content.size() % 512) % 512;
  return block + entry.content + std::string(padding, entry.padding);
}

std::string pax_entry(char type, const std::vector<std::pair<std::string, std::string>>& records) {
  std::string content;
  for (const auto& [key, value] : records) {
    auto rest = " " + key + "=" + value + "\n";
    auto length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length)
      ++length;
    content += std::to_string(length) + rest;
  }
  return tar_entry({.name = "PaxHeaders/entry", .content = content, .type = type});
}

std::string tar_end() {
  std::string zeros(1024, '\0');
  return zeros;
}

std::string write_tar(const std::vector<TarEntry>& entries) {
  std::string out;
  for (const auto& entry : entries)
    out += tar_entry(entry);
  return out + tar_end();
}

std::string zstd_frame(std::string_view content, const ZstdOptions& options) {
  std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  set_parameter(context.get(), ZSTD_c_checksumFlag, options.checksum ? 1 : 0);
  set_parameter(context.get(), ZSTD_c_contentSizeFlag, options.states_size ? 1 : 0);
  if (options.window_log) set_parameter(context.get(), ZSTD_c_windowLog, *options.window_log);
  std::string out(ZSTD_compressBound(content.size()), '\0');
  auto size = ZSTD_compress2(context.get(), out.data(), out.size(), content.data(), content.size());
  if (ZSTD_isError(size) != 0) throw std::runtime_error(ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

std::string unzstd(std::string_view frame) {
  auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size > (1ULL << 32)) throw std::runtime_error("a frame without size");
  std::string out(size, '\0');
  auto done = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(done) != 0) throw std::runtime_error(ZSTD_getErrorName(done));
  return out;
}

std::string zstd_zeros(std::uint64_t blocks, std::uint64_t stated, unsigned char window_descriptor) {
  std::string out = "\x28\xb5\x2f\xfd";
  out += '\xc4';  // eight bytes of size, a checksum, a window
  out += static_cast<char>(window_descriptor);
  for (int i = 0; i < 8; ++i)
    out += static_cast<char>(stated >> (8 * i));
  for (std::uint64_t i = 0; i < blocks; ++i) {
    // One byte, repeated: the last bit, the kind 1, and the size.
    std::uint32_t head = (128U << 10) << 3 | 1U << 1 | (i + 1 == blocks ? 1U : 0U);
    for (int k = 0; k < 3; ++k)
      out += static_cast<char>(head >> (8 * k));
    out += '\0';
  }
  return out + std::string(4, '\0');
}

}  // namespace kernels::test
