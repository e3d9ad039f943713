#include "tar_gate.h"

#include <algorithm>
#include <optional>

#include "kernels/bundle/rules.h"

namespace kernels::bundle {

namespace {

constexpr auto kZero = std::byte{0};

struct Field {
  std::size_t offset;
  std::size_t size;
};
constexpr Field kName{.offset = 0, .size = 100};
constexpr Field kMode{.offset = 100, .size = 8};
constexpr Field kOwners{.offset = 108, .size = 16};
constexpr Field kSize{.offset = 124, .size = 12};
constexpr Field kTime{.offset = 136, .size = 12};
constexpr Field kType{.offset = 156, .size = 1};
constexpr Field kLink{.offset = 157, .size = 100};
constexpr Field kMagicField{.offset = 257, .size = 8};
constexpr Field kOwnerNames{.offset = 265, .size = 64};

using Block = std::span<const std::byte>;

/// The text up to the first zero byte.
std::string text_of(Block block, Field field) {
  auto part = block.subspan(field.offset, field.size);
  std::string out;
  for (auto byte : part.first(static_cast<std::size_t>(std::ranges::find(part, kZero) - part.begin())))
    out += static_cast<char>(byte);
  return out;
}

/// Eleven octal digits and a zero byte; nothing for any other form of a number.
std::optional<std::uint64_t> size_of(Block block) {
  auto text = text_of(block, kSize);
  if (text.size() != kSize.size - 1) return std::nullopt;
  std::uint64_t value = 0;
  for (char digit : text) {
    if (digit < '0' || digit > '7') return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(digit - '0');
  }
  return value;
}

std::string type_name(char type, const std::string& link) {
  switch (type) {
    case '1':
      return "a hard link to " + in_ticks(link);
    case '2':
      return "a symbolic link to " + in_ticks(link);
    case '3':
      return "a character device";
    case '4':
      return "a block device";
    case '5':
      return "a folder";
    case '6':
      return "a FIFO";
    default:
      return "the type " + in_ticks(std::string(1, type));
  }
}

/// What a header of an extension of ustar is; nothing for the others.
const char* extension_name(char type) {
  switch (type) {
    case 'x':
    case 'g':
      return "a PAX header";
    case 'L':
    case 'K':
      return "a GNU long name";
    case 'S':
      return "a GNU sparse file";
    case 'D':
    case 'M':
    case 'N':
    case 'V':
      return "a GNU extension";
    default:
      return nullptr;
  }
}

}  // namespace

std::unexpected<Error> TarGate::refused(const char* rule, std::string expected, std::string found) const {
  return refuse({.rule = rule,
                 .where = entry_.empty() ? where_ : where_ + ": " + entry_,
                 .expected = std::move(expected),
                 .found = std::move(found)});
}

/// Says what is wrong with a header, the most telling thing first.
std::unexpected<Error> TarGate::differs(std::string_view name, Block expected) const {
  Block block(block_);
  auto type = static_cast<char>(block[kType.offset]);
  auto differ = [&](Field field) {
    return !std::ranges::equal(block.subspan(field.offset, field.size),
                               expected.subspan(field.offset, field.size));
  };
  if (const char* extension = extension_name(type))
    return refused("entry-format", "a plain ustar entry", extension);
  if (differ(kMagicField)) return refused("entry-format", "a plain ustar entry", "another tar format");
  if (differ(kType)) return refused("entry-type", "a regular file", type_name(type, text_of(block, kLink)));
  if (differ(kMode)) return refused("entry-mode", "mode 0000644", in_ticks(text_of(block, kMode)));
  if (differ(kOwners) || differ(kOwnerNames))
    return refused("entry-owner", "owner and group 0 without names", "others");
  if (differ(kTime)) return refused("entry-time", "1980-01-01", "another time");
  return refused("entry-header", "the header that `kernels` writes for " + in_ticks(name), "another");
}

Status TarGate::examine_header() {
  Block block(block_);
  if (std::ranges::all_of(block, [](std::byte byte) { return byte == kZero; })) {
    if (++zero_blocks_ == 2) part_ = Part::end;
    return {};
  }
  if (zero_blocks_ > 0) return refused("archive-form", "a second block of zeros", "an entry after the first");
  auto name = text_of(block, kName);
  entry_ = in_ticks(name);
  auto size = size_of(block);
  // A header whose size has another form is compared with that of an empty file, so that what else is wrong
  // with it is named.
  auto expected = tar_header(name, size.value_or(0));
  if (!std::ranges::equal(block, expected)) return differs(name, expected);
  left_ = *size;
  padding_ = padding_bytes(*size);
  part_ = Part::content;
  return {};
}

Status TarGate::take_some(Block& bytes) {
  auto cut = [&bytes](std::uint64_t most) {
    auto part = bytes.first(std::min<std::uint64_t>(bytes.size(), most));
    bytes = bytes.subspan(part.size());
    return part;
  };
  switch (part_) {
    case Part::header: {
      auto part = cut(kTarBlock - filled_);
      std::ranges::copy(part, std::span(block_).subspan(filled_).begin());
      filled_ += part.size();
      if (filled_ < kTarBlock) return {};
      filled_ = 0;
      return examine_header();
    }
    case Part::content:
      left_ -= cut(left_).size();
      if (left_ > 0) return {};
      left_ = padding_;
      part_ = left_ > 0 ? Part::padding : Part::header;
      return {};
    case Part::padding: {
      auto part = cut(left_);
      if (std::ranges::any_of(part, [](std::byte byte) { return byte != kZero; }))
        return refused("archive-form", "zeros after the content", "something else");
      left_ -= part.size();
      if (left_ == 0) part_ = Part::header;
      return {};
    }
    case Part::end:
      break;
  }
  entry_.clear();
  return refused("archive-form", "nothing after the end of the archive", "more");
}

Status TarGate::take(Block bytes) {
  while (!bytes.empty())
    if (auto taken = take_some(bytes); !taken) return taken;
  return {};
}

Status TarGate::finish() const {
  if (part_ == Part::end) return {};
  return refused("archive-form", "the end of the archive, two blocks of zeros", "the end of the file");
}

}  // namespace kernels::bundle
