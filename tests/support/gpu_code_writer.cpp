#include "support/gpu_code_writer.h"

#include <stdexcept>

#include <zstd.h>

namespace kernels::test {

namespace {

void put(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i)
    out += i < 8 ? static_cast<char>(value >> (8 * i) & 255U) : '\0';
}

void align8(std::string& out) {
  while (out.size() % 8 != 0)
    out += '\0';
}

/// Header, sections' names, table of sections: nothing else of machine code is looked at.
std::string write_cubin(const ImageDescription& image) {
  std::string names(1, '\0');
  std::vector<std::size_t> offsets;
  auto add = [&](const std::string& name) {
    offsets.push_back(names.size());
    names += name + '\0';
  };
  add(".shstrtab");
  for (const auto& function : image.functions)
    add(".text." + function);
  std::string out(
      "\x7f"
      "ELF\x02\x01\x01",
      7);
  out.resize(16, '\0');
  put(out, image.is_relocatable ? 1 : 2, 2);
  put(out, 190, 2);
  put(out, 1, 4);
  put(out, 0, 16);  // entry, program headers
  auto table = (64 + names.size() + 7) / 8 * 8;
  put(out, table, 8);
  put(out, std::uint64_t{image.arch} << 8U | 4U, 4);
  put(out, 64, 2);
  put(out, 56, 2);
  put(out, 0, 2);
  put(out, 64, 2);
  put(out, offsets.size() + 1, 2);
  put(out, 1, 2);
  out += names;
  align8(out);
  out.append(64, '\0');
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    put(out, offsets[i], 4);
    put(out, i == 0 ? 3 : 1, 4);
    put(out, 0, 16);
    put(out, 64, 8);
    put(out, i == 0 ? names.size() : 1, 8);
    put(out, 0, 24);
  }
  return out;
}

std::string write_ptx(const ImageDescription& image) {
  std::string out = ".version " + std::to_string(image.major) + "." + std::to_string(image.minor) +
                    "\n.target sm_" + std::to_string(image.arch) + "\n.address_size 64\n";
  for (const auto& function : image.functions)
    out += ".visible .entry " + function + "(\n.param .u64 p\n)\n{\nret;\n}\n";
  return out;
}

/// One sequence of literals: the simplest LZ4 block there is.
std::string pack_lz4(const std::string& text) {
  std::string out;
  auto length = text.size();
  out += static_cast<char>(length < 15 ? length << 4U : 0xf0);
  if (length >= 15) {
    for (length -= 15; length >= 255; length -= 255)
      out += static_cast<char>(255);
    out += static_cast<char>(length);
  }
  return out + text;
}

std::string pack_zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  auto size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  if (ZSTD_isError(size) != 0) throw std::runtime_error("zstd");
  out.resize(size);
  return out;
}

std::uint64_t flags_of(const ImageDescription& image) {
  std::uint64_t flags = 0x11;
  if (image.pack == Pack::lz4) flags |= 0x2000;
  if (image.pack == Pack::zstd) flags |= 0x8000;
  if (image.suffix == 'a') flags |= 0x100000;
  if (image.suffix == 'f') flags |= 0x200000;
  return flags;
}

std::string write_image(const ImageDescription& image) {
  auto content = write_payload(image);
  auto packed = image.pack == Pack::lz4    ? pack_lz4(content)
                : image.pack == Pack::zstd ? pack_zstd(content)
                                           : content;
  auto compressed = image.pack == Pack::raw ? 0 : packed.size();
  align8(packed);
  std::string out;
  put(out, image.kind, 2);
  put(out, 0x101, 2);
  put(out, 0x40, 4);
  put(out, packed.size(), 8);
  put(out, compressed, 4);
  put(out, 0, 4);
  put(out, image.kind == 1 ? image.minor : 8, 2);
  put(out, image.kind == 1 ? image.major : 1, 2);
  put(out, image.arch, 4);
  put(out, 0, 8);
  put(out, flags_of(image), 8);
  put(out, 0, 8);
  put(out, image.pack == Pack::raw ? 0 : content.size(), 8);
  return out + packed;
}

}  // namespace

std::string write_payload(const ImageDescription& image) {
  return image.kind == 1 ? write_ptx(image) : write_cubin(image);
}

std::string write_fat_binary(const std::vector<ImageDescription>& images) {
  std::string body;
  for (const auto& image : images)
    body += write_image(image);
  std::string out;
  put(out, 0xBA55ED50, 4);
  put(out, 1, 2);
  put(out, 16, 2);
  put(out, body.size(), 8);
  return out + body;
}

std::string write_fat_binaries(const std::vector<std::vector<ImageDescription>>& containers) {
  std::string out;
  for (const auto& images : containers) {
    align8(out);
    out += write_fat_binary(images);
  }
  return out;
}

}  // namespace kernels::test
