// Layout, all in one readable segment at address 0, so that addresses are offsets:
//   1. ELF header, 64 bytes         2. three program headers: LOAD, DYNAMIC, GNU_STACK
//   3. names                        4. symbols, 24 bytes each      5. their versions, 2 bytes each
//   6. version needs                7. version definitions         8. hash table      9. data
//  10. dynamic section

#include "support/elf_writer.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace kernels::test {

namespace {

/// The hash of a name as the ELF specification gives it.
std::uint32_t elf_hash(const std::string& name) {
  std::uint32_t hash = 0;
  for (unsigned char c : name) {
    hash = (hash << 4U) + c;
    std::uint32_t high = hash & 0xf0000000U;
    if (high != 0) hash ^= high >> 24U;
    hash &= ~high;
  }
  return hash;
}

class Bytes {
 public:
  void u8(std::uint64_t value) { number(value, 1); }
  void u16(std::uint64_t value) { number(value, 2); }
  void u32(std::uint64_t value) { number(value, 4); }
  void u64(std::uint64_t value) { number(value, 8); }
  void align() {
    while (text_.size() % 8 != 0)
      text_ += '\0';
  }
  void append(const std::string& bytes) { text_ += bytes; }
  std::size_t size() const { return text_.size(); }
  const std::string& text() const { return text_; }

 private:
  void number(std::uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i)
      text_ += static_cast<char>(value >> (8 * i) & 255U);
  }
  std::string text_;
};

class Names {
 public:
  std::uint32_t add(const std::string& name) {
    auto [place, is_new] = offsets_.try_emplace(name, static_cast<std::uint32_t>(text_.size()));
    if (is_new) text_ += name + '\0';
    return place->second;
  }
  const std::string& text() const { return text_; }

 private:
  std::map<std::string, std::uint32_t> offsets_ = {{"", 0}};
  std::string text_ = std::string(1, '\0');
};

constexpr std::size_t kHeader = 64;
constexpr std::size_t kProgramHeader = 56;
constexpr std::uint16_t kFirstVersion = 2;  // 0 is local, 1 global

class Writer {
 public:
  explicit Writer(const ElfDescription& description) : description_(description) { number_versions(); }

  std::string write() {
    auto symbols = symbol_table();
    auto needs = version_needs();
    auto definitions = version_definitions();
    auto dynamic_names = dynamic_entries_with_names();
    body_.append(std::string(kHeader + 3 * kProgramHeader, '\0'));
    auto names_at = place(names_.text());
    auto symbols_at = place(symbols);
    auto versions_at = place(symbol_versions());
    auto needs_at = place(needs);
    auto definitions_at = place(definitions);
    auto hash_at = place(hash_table());
    place(description_.data);
    dynamic_ = std::move(dynamic_names);
    entry(5, names_at);  // DT_STRTAB, DT_STRSZ, DT_SYMTAB, DT_SYMENT, DT_HASH
    entry(10, names_.text().size());
    entry(6, symbols_at);
    entry(11, 24);
    entry(4, hash_at);
    entry(0x6ffffff0, versions_at);  // DT_VERSYM
    if (!needs.empty()) {
      entry(0x6ffffffe, needs_at);
      entry(0x6fffffff, needing_.size());
    }
    if (!definitions.empty()) {
      entry(0x6ffffffc, definitions_at);
      entry(0x6ffffffd, description_.defined_versions.size() + 1);
    }
    if (description_.bind_now) entry(24, 0);
    entry(0, 0);
    auto dynamic_at = place(dynamic_.text());
    auto bytes = body_.text();
    auto headers = all_headers(dynamic_at, dynamic_.size(), bytes.size());
    bytes.replace(0, headers.size(), headers);
    return bytes;
  }

 private:
  std::size_t place(const std::string& part) {
    body_.align();
    auto at = body_.size();
    body_.append(part);
    return at;
  }

  void entry(std::uint64_t tag, std::uint64_t value) {
    dynamic_.u64(tag);
    dynamic_.u64(value);
  }

  /// Definitions come first, as linkers do it: index 1 is the file itself.
  void number_versions() {
    auto next = kFirstVersion;
    for (const auto& version : description_.defined_versions)
      indexes_[version] = next++;
    for (const auto& need : description_.needs) {
      if (!need.versions.empty()) needing_.push_back(need);
      for (const auto& version : need.versions)
        indexes_[version] = next++;
    }
  }

  std::string symbol_table() {
    Bytes out;
    out.append(std::string(24, '\0'));
    for (const auto& symbol : description_.symbols) {
      out.u32(names_.add(symbol.name));
      out.u8((symbol.is_weak ? 2U : 1U) << 4U | 2U);  // a function
      out.u8(0);
      out.u16(symbol.is_defined ? 1 : 0);
      out.u64(symbol.is_defined ? 64 : 0);
      out.u64(0);
    }
    return out.text();
  }

  std::string symbol_versions() const {
    Bytes out;
    out.u16(0);
    for (const auto& symbol : description_.symbols) {
      if (!symbol.version.empty() && !indexes_.contains(symbol.version))
        throw std::invalid_argument("no version " + symbol.version);
      out.u16(symbol.version.empty() ? 1 : indexes_.at(symbol.version));
    }
    return out.text();
  }

  std::string version_needs() {
    Bytes out;
    for (std::size_t i = 0; i < needing_.size(); ++i) {
      const auto& need = needing_[i];
      auto length = 16 + 16 * need.versions.size();
      out.u16(1);
      out.u16(need.versions.size());
      out.u32(names_.add(need.library));
      out.u32(16);
      out.u32(i + 1 == needing_.size() ? 0 : length);
      for (std::size_t v = 0; v < need.versions.size(); ++v) {
        out.u32(elf_hash(need.versions[v]));
        out.u16(0);
        out.u16(indexes_.at(need.versions[v]));
        out.u32(names_.add(need.versions[v]));
        out.u32(v + 1 == need.versions.size() ? 0 : 16);
      }
    }
    return out.text();
  }

  void definition(Bytes& out, const std::string& name, bool is_last) {
    bool is_file = out.size() == 0;
    out.u16(1);
    out.u16(is_file ? 1 : 0);  // VER_FLG_BASE
    out.u16(is_file ? 1 : indexes_.at(name));
    out.u16(1);
    out.u32(elf_hash(name));
    out.u32(20);
    out.u32(is_last ? 0 : 28);
    out.u32(names_.add(name));
    out.u32(0);
  }

  std::string version_definitions() {
    const auto& versions = description_.defined_versions;
    Bytes out;
    if (versions.empty()) return {};
    definition(out, description_.soname, false);
    for (std::size_t i = 0; i < versions.size(); ++i)
      definition(out, versions[i], i + 1 == versions.size());
    return out.text();
  }

  /// One bucket with all symbols in a chain: right, and as slow as it gets.
  std::string hash_table() const {
    auto symbols = description_.symbols.size() + 1;
    Bytes out;
    out.u32(1);
    out.u32(symbols);
    out.u32(symbols > 1 ? 1 : 0);
    out.u32(0);
    for (std::size_t i = 1; i < symbols; ++i)
      out.u32(i + 1 == symbols ? 0 : i + 1);
    return out.text();
  }

  Bytes dynamic_entries_with_names() {
    Bytes out;
    auto add = [&](std::uint64_t tag, const std::string& name) {
      out.u64(tag);
      out.u64(names_.add(name));
    };
    for (const auto& need : description_.needs)
      add(1, need.library);
    if (!description_.soname.empty()) add(14, description_.soname);
    if (!description_.run_path.empty()) add(29, description_.run_path);
    return out;
  }

  static void program_header(Bytes& out, std::uint32_t type, std::uint32_t flags, std::uint64_t at,
                             std::uint64_t size) {
    out.u32(type);
    out.u32(flags);
    out.u64(at);
    out.u64(at);
    out.u64(at);
    out.u64(size);
    out.u64(size);
    out.u64(type == 1 ? 4096 : 8);
  }

  std::string all_headers(std::uint64_t dynamic_at, std::uint64_t dynamic_size, std::uint64_t size) const {
    Bytes out;
    out.append(
        "\x7f"
        "ELF");
    out.u8(2);  // 64 bits
    out.u8(1);  // little-endian
    out.u8(1);
    out.append(std::string(9, '\0'));
    out.u16(3);  // shared object
    out.u16(description_.machine);
    out.u32(1);
    out.u64(0);
    out.u64(kHeader);
    out.u64(0);  // no sections
    out.u32(0);
    out.u16(kHeader);
    out.u16(kProgramHeader);
    out.u16(3);
    out.u16(64);
    out.u16(0);
    out.u16(0);
    program_header(out, 1, description_.segment_flags, 0, size);
    program_header(out, 2, 4, dynamic_at, dynamic_size);
    program_header(out, 0x6474e551, description_.stack_flags, 0, 0);
    return out.text();
  }

  const ElfDescription& description_;
  std::map<std::string, std::uint16_t> indexes_;
  std::vector<ElfNeed> needing_;
  Names names_;
  Bytes body_;
  Bytes dynamic_;
};

}  // namespace

std::string write_elf(const ElfDescription& description) {
  return Writer(description).write();
}

}  // namespace kernels::test
