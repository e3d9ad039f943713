#include "elf_symbols.h"

#include <algorithm>
#include <map>
#include <optional>

// Numbers below are from the ELF-64 specification and the GNU extensions of the generic ABI: program header
// type 1 is LOAD, 2 is DYNAMIC; dynamic tags 1 NEEDED, 4 HASH, 5 STRTAB, 6 SYMTAB, 15 RPATH, 29 RUNPATH,
// 0x6ffffef5 GNU_HASH, 0x6ffffffe VERNEED, 0x6fffffff VERNEEDNUM.

namespace kernels::runtime {
namespace {

struct Segment {
  std::uint64_t offset;
  std::uint64_t address;
  std::uint64_t size;
};

/// An early exit inside a reader: any failed read makes the whole file corrupt.
template <class T>
bool take(const Result<T>& from, T& to) {
  if (!from) return false;
  to = *from;
  return true;
}

class Reader {
 public:
  explicit Reader(ByteView file) : file_(file) {}

  bool read(DynamicSymbols& out) {
    return read_segments() && read_dynamic() && read_names(out) && read_symbols(out) && read_versions(out);
  }

 private:
  bool read_segments() {
    std::uint32_t magic = 0;
    std::uint16_t format = 0;
    std::uint64_t table = 0;
    std::uint16_t entry = 0;
    std::uint16_t count = 0;
    if (!take(file_.le<std::uint32_t>(0), magic) || magic != 0x464c457f) return false;
    if (!take(file_.le<std::uint16_t>(4), format) || format != 0x0102) return false;  // 64-bit, little-endian
    if (!take(file_.le<std::uint64_t>(0x20), table) || !take(file_.le<std::uint16_t>(0x36), entry) ||
        !take(file_.le<std::uint16_t>(0x38), count) || entry < 56)
      return false;
    for (std::uint64_t i = 0; i < count; ++i)
      if (!read_segment(table + i * entry)) return false;
    return dynamic_.has_value();
  }

  bool read_segment(std::uint64_t at) {
    std::uint32_t type = 0;
    Segment segment{};
    if (!take(file_.le<std::uint32_t>(at), type) || !take(file_.le<std::uint64_t>(at + 8), segment.offset) ||
        !take(file_.le<std::uint64_t>(at + 16), segment.address) ||
        !take(file_.le<std::uint64_t>(at + 32), segment.size))
      return false;
    if (type == 1) loads_.push_back(segment);
    if (type == 2) dynamic_ = segment;
    return true;
  }

  bool read_dynamic() {
    for (std::uint64_t at = 0; at + 16 <= dynamic_->size; at += 16) {
      std::int64_t tag = 0;
      std::uint64_t value = 0;
      if (!take(file_.le<std::int64_t>(dynamic_->offset + at), tag) ||
          !take(file_.le<std::uint64_t>(dynamic_->offset + at + 8), value))
        return false;
      if (tag == 0) return true;
      if (tag == 1)
        needed_.push_back(value);
      else
        tags_[tag] = value;
    }
    return true;
  }

  /// The file offset of a virtual address that lies in a loaded segment.
  std::optional<std::uint64_t> offset_of(std::uint64_t address) const {
    for (const Segment& load : loads_)
      if (address >= load.address && address - load.address < load.size)
        return address - load.address + load.offset;
    return std::nullopt;
  }

  std::optional<std::uint64_t> place(std::int64_t tag) const {
    const auto found = tags_.find(tag);
    return found == tags_.end() ? std::nullopt : offset_of(found->second);
  }

  bool text(std::uint64_t index, std::string& out) const {
    const auto name = file_.c_string(*strings_ + index);
    if (!name) return false;
    out = std::string(*name);
    return true;
  }

  bool read_names(DynamicSymbols& out) {
    strings_ = place(5);
    if (!strings_) return false;
    out.has_run_path = tags_.contains(15) || tags_.contains(29);
    for (const std::uint64_t index : needed_)
      if (!text(index, out.needed.emplace_back())) return false;
    return true;
  }

  /// The symbol table has no length of its own: the old hash table states it, the GNU one implies it.
  std::optional<std::uint64_t> symbol_count() const {
    std::uint32_t count = 0;
    if (const auto hash = place(4))
      return take(file_.le<std::uint32_t>(*hash + 4), count) ? std::optional<std::uint64_t>(count)
                                                             : std::nullopt;
    const auto hash = place(0x6ffffef5);
    return hash ? gnu_symbol_count(*hash) : std::nullopt;
  }

  std::optional<std::uint64_t> gnu_symbol_count(std::uint64_t hash) const {
    std::uint32_t buckets = 0;
    std::uint32_t first = 0;
    std::uint32_t bloom = 0;
    if (!take(file_.le<std::uint32_t>(hash), buckets) || !take(file_.le<std::uint32_t>(hash + 4), first) ||
        !take(file_.le<std::uint32_t>(hash + 8), bloom))
      return std::nullopt;
    const std::uint64_t table = hash + 16 + std::uint64_t{bloom} * 8;
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < buckets; ++i) {
      std::uint32_t symbol = 0;
      if (!take(file_.le<std::uint32_t>(table + i * 4), symbol)) return std::nullopt;
      last = std::max<std::uint64_t>(last, symbol);
    }
    if (last < first) return first;
    const std::uint64_t chains = table + std::uint64_t{buckets} * 4;
    for (;; ++last) {
      std::uint32_t chain = 0;
      if (!take(file_.le<std::uint32_t>(chains + (last - first) * 4), chain)) return std::nullopt;
      if ((chain & 1U) != 0) return last + 1;
    }
  }

  bool read_symbols(DynamicSymbols& out) const {
    const auto table = place(6);
    const auto count = symbol_count();
    if (!table || !count || *count > file_.size() / 24) return false;
    for (std::uint64_t i = 1; i < *count; ++i) {
      std::uint32_t name = 0;
      std::uint8_t info = 0;
      std::uint16_t section = 0;
      const std::uint64_t at = *table + i * 24;
      if (!take(file_.le<std::uint32_t>(at), name) || !take(file_.le<std::uint8_t>(at + 4), info) ||
          !take(file_.le<std::uint16_t>(at + 6), section))
        return false;
      const bool weak = info >> 4 == 2;
      if (section == 0 && weak) continue;
      if (!text(name, (section == 0 ? out.undefined : out.defined).emplace_back())) return false;
    }
    return true;
  }

  bool read_versions(DynamicSymbols& out) const {
    const auto count = tags_.find(0x6fffffff);
    auto at = place(0x6ffffffe);
    if (count == tags_.end() || !at) return true;
    for (std::uint64_t i = 0; i < count->second; ++i) {
      std::uint16_t entries = 0;
      std::uint32_t file = 0;
      std::uint32_t first = 0;
      std::uint32_t next = 0;
      if (!take(file_.le<std::uint16_t>(*at + 2), entries) || !take(file_.le<std::uint32_t>(*at + 4), file) ||
          !take(file_.le<std::uint32_t>(*at + 8), first) || !take(file_.le<std::uint32_t>(*at + 12), next))
        return false;
      std::string library;
      if (!text(file, library) || !read_version_entries(*at + first, entries, library, out)) return false;
      if (next == 0) return true;
      *at += next;
    }
    return true;
  }

  bool read_version_entries(std::uint64_t at, std::uint16_t entries, const std::string& library,
                            DynamicSymbols& out) const {
    for (std::uint16_t i = 0; i < entries; ++i) {
      std::uint32_t name = 0;
      std::uint32_t next = 0;
      if (!take(file_.le<std::uint32_t>(at + 8), name) || !take(file_.le<std::uint32_t>(at + 12), next))
        return false;
      NeededVersion version{library, {}};
      if (!text(name, version.version)) return false;
      out.versions.push_back(std::move(version));
      if (out.versions.size() > file_.size() / 16) return false;
      if (next == 0) return true;
      at += next;
    }
    return true;
  }

  ByteView file_;
  std::vector<Segment> loads_;
  std::optional<Segment> dynamic_;
  std::map<std::int64_t, std::uint64_t> tags_;
  std::vector<std::uint64_t> needed_;
  std::optional<std::uint64_t> strings_;
};

}  // namespace

Result<DynamicSymbols> read_dynamic_symbols(ByteView file) {
  DynamicSymbols symbols;
  if (!Reader(file).read(symbols))
    return fail(Errc::corrupt, "no 64-bit ELF library with a readable dynamic section");
  return symbols;
}

}  // namespace kernels::runtime
