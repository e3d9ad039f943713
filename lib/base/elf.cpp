#include "kernels/base/elf.h"

#include <algorithm>
#include <array>
#include <map>

// Layouts of ELF-64: the header is 64 bytes, a program header 56, a section header 64, a dynamic entry 16, a
// symbol 24. All numbers below are offsets into these or constants of the specification.

namespace kernels {

namespace {

constexpr std::uint64_t kMaxDynamicEntries = 65'536;
constexpr std::uint64_t kMaxNeeded = 4096;
constexpr std::uint64_t kMaxVersions = 8192;
constexpr std::uint64_t kMaxSections = 16'384;
constexpr std::uint64_t kMaxSymbols = 4ULL << 20;
constexpr std::uint64_t kMaxNameBytes = 8ULL << 20;
constexpr std::uint64_t kMaxName = 32ULL << 10;
constexpr std::uint64_t kSymbolSize = 24;

enum Tag : std::int64_t {
  kNeeded = 1,
  kHash = 4,
  kStringTable = 5,
  kSymbolTable = 6,
  kStringSize = 10,
  kSoname = 14,
  kRpath = 15,
  kTextRelocations = 22,
  kBindNow = 24,
  kRunPath = 29,
  kFlags = 30,
  kGnuHash = 0x6ffffef5,
  kVersionSymbols = 0x6ffffff0,
  kFlags1 = 0x6ffffffb,
  kVersionDefinitions = 0x6ffffffc,
  kVersionDefinitionCount = 0x6ffffffd,
  kVersionNeeds = 0x6ffffffe,
  kVersionNeedCount = 0x6fffffff,
};

std::unexpected<Error> corrupt(std::string text) {
  return fail(Errc::corrupt, std::move(text));
}

std::unexpected<Error> too_many(const char* what, std::uint64_t limit) {
  return fail(Errc::unsupported, std::string("more ") + what + " than any library has (the limit is " +
                                     std::to_string(limit) + ")");
}

struct Segment {
  std::uint64_t address = 0;
  ByteExtent bytes;
};

/// Calls `visit(record)` for `count` records of `size` bytes, which are read in large pieces. `visit` returns
/// a Status.
template <class Visit>
Status for_each_record(ByteSource& source, std::uint64_t offset, std::uint64_t count, std::uint64_t size,
                       const Visit& visit) {
  const std::uint64_t at_once = (64ULL << 10) / size;
  // A view ends with the next call of the source, and `visit` may call it.
  std::vector<std::byte> copy;
  for (std::uint64_t first = 0; first < count; first += at_once) {
    auto number = std::min(at_once, count - first);
    auto bytes = source.view(offset + first * size, number * size);
    if (!bytes) return std::unexpected(std::move(bytes).error());
    copy.assign(bytes->bytes().begin(), bytes->bytes().end());
    for (std::uint64_t i = 0; i < number; ++i)
      if (auto done = visit(ByteView(std::span(copy).subspan(i * size, size))); !done) return done;
  }
  return {};
}

/// A number inside a record whose length is known to be enough.
template <class T>
T field(ByteView record, std::uint64_t offset) {
  return record.le<T>(offset).value_or(T{});
}

class Reader {
 public:
  explicit Reader(ByteSource& source) : source_(source) {}

  Result<ElfFile> read() {
    for (auto step : {&Reader::header, &Reader::segments, &Reader::dynamic, &Reader::names, &Reader::symbols,
                      &Reader::needs, &Reader::definitions})
      if (auto done = (this->*step)(); !done) return std::unexpected(std::move(done).error());
    if (auto read = sections(); !read) {
      // Nothing that a loader needs is in there.
      out_.sections.clear();
      out_.sections_unreadable = true;
    }
    return std::move(out_);
  }

 private:
  Status header() {
    auto bytes = source_.view(0, std::min<std::uint64_t>(source_.size(), 64));
    if (!bytes) return std::unexpected(std::move(bytes).error());
    if (bytes->le<std::uint32_t>(0).value_or(0) != 0x464c457f) return corrupt("it does not begin as one");
    if (bytes->size() < 64) return corrupt("the header is cut off");
    auto size_class = field<std::uint8_t>(*bytes, 4);
    auto order = field<std::uint8_t>(*bytes, 5);
    if (size_class != 2 || order != 1)
      return fail(Errc::unsupported, std::string("a ") + (size_class == 1 ? "32-bit " : "") +
                                         (order == 2 ? "big-endian " : "") +
                                         "ELF file; only 64-bit little-endian ones are read");
    auto type = field<std::uint16_t>(*bytes, 16);
    out_.type = type >= 1 && type <= 4 ? static_cast<ElfType>(type - 1) : ElfType::other;
    out_.machine = field<std::uint16_t>(*bytes, 18);
    segment_table_ = field<std::uint64_t>(*bytes, 32);
    section_table_ = field<std::uint64_t>(*bytes, 40);
    out_.flags = field<std::uint32_t>(*bytes, 48);
    segment_size_ = field<std::uint16_t>(*bytes, 54);
    segment_count_ = field<std::uint16_t>(*bytes, 56);
    section_size_ = field<std::uint16_t>(*bytes, 58);
    section_count_ = field<std::uint16_t>(*bytes, 60);
    section_names_ = field<std::uint16_t>(*bytes, 62);
    return {};
  }

  Status segments() {
    if (segment_count_ == 0) return {};
    if (segment_size_ < 56) return corrupt("program headers of " + std::to_string(segment_size_) + " bytes");
    return for_each_record(source_, segment_table_, segment_count_, segment_size_, [this](ByteView record) {
      take_segment(record);
      return Status{};
    });
  }

  void take_segment(ByteView record) {
    constexpr std::uint32_t kLoad = 1;
    constexpr std::uint32_t kDynamic = 2;
    constexpr std::uint32_t kStack = 0x6474e551;
    auto type = field<std::uint32_t>(record, 0);
    auto flags = field<std::uint32_t>(record, 4);
    bool executable = (flags & 1U) != 0;
    Segment segment{
        .address = field<std::uint64_t>(record, 16),
        .bytes = {.offset = field<std::uint64_t>(record, 8), .length = field<std::uint64_t>(record, 32)}};
    if (type == kLoad) {
      loads_.push_back(segment);
      if (!executable) out_.loaded_data.push_back(segment.bytes);
      out_.has_writable_code |= executable && (flags & 2U) != 0;
    } else if (type == kDynamic) {
      dynamic_ = segment.bytes;
    } else if (type == kStack) {
      out_.executable_stack = executable ? ExecutableStack::yes : ExecutableStack::no;
    }
  }

  Status dynamic() {
    if (!dynamic_) return {};
    out_.has_dynamic = true;
    if (dynamic_->length / 16 > kMaxDynamicEntries) return too_many("dynamic entries", kMaxDynamicEntries);
    bool ended = false;
    return for_each_record(source_, dynamic_->offset, dynamic_->length / 16, 16, [&](ByteView record) {
      auto tag = field<std::int64_t>(record, 0);
      auto value = field<std::uint64_t>(record, 8);
      ended |= tag == 0;
      if (ended) return Status{};
      if (tag != kNeeded)
        tags_.insert_or_assign(tag, value);
      else if (needed_.size() < kMaxNeeded)
        needed_.push_back(value);
      return Status{};
    });
  }

  std::optional<std::uint64_t> tag(std::int64_t which) const {
    auto found = tags_.find(which);
    return found == tags_.end() ? std::nullopt : std::optional(found->second);
  }

  /// From the virtual address in a tag to what the file holds from there to the end of its segment.
  std::optional<ByteExtent> place(std::int64_t which) const {
    auto address = tag(which);
    if (!address) return std::nullopt;
    for (const auto& load : loads_) {
      if (*address < load.address || *address - load.address >= load.bytes.length) continue;
      auto skip = *address - load.address;
      if (load.bytes.offset > source_.size() || skip > source_.size() - load.bytes.offset)
        return std::nullopt;
      auto offset = load.bytes.offset + skip;
      return ByteExtent{.offset = offset,
                        .length = std::min(load.bytes.length - skip, source_.size() - offset)};
    }
    return std::nullopt;
  }

  Result<std::string> text(std::uint64_t index) {
    const auto& names = out_.tables.names;
    if (index >= names.length) return corrupt("a name outside the table of names");
    auto found = source_.c_string(names.offset + index, names.offset + names.length, kMaxName);
    if (!found) return std::unexpected(std::move(found).error());
    name_bytes_ += found->size();
    if (name_bytes_ > kMaxNameBytes) return too_many("bytes of names", kMaxNameBytes);
    return std::string(*found);
  }

  Status take_text(std::optional<std::uint64_t> index, std::optional<std::string>& to) {
    if (!index) return {};
    auto found = text(*index);
    if (!found) return std::unexpected(std::move(found).error());
    to = std::move(*found);
    return {};
  }

  Status names() {
    if (!out_.has_dynamic) return {};
    out_.bind_now = tags_.contains(kBindNow) || (tag(kFlags).value_or(0) & 8U) != 0 ||
                    (tag(kFlags1).value_or(0) & 1U) != 0;
    out_.has_text_relocations = tags_.contains(kTextRelocations) || (tag(kFlags).value_or(0) & 4U) != 0;
    auto table = place(kStringTable);
    if (!table) return needed_.empty() ? Status{} : corrupt("there is no table of names");
    table->length = std::min(table->length, tag(kStringSize).value_or(table->length));
    out_.tables.names = *table;
    announce(*table);
    for (auto index : needed_) {
      auto found = text(index);
      if (!found) return std::unexpected(std::move(found).error());
      out_.needed.push_back(std::move(*found));
    }
    std::optional<std::string> soname;
    if (auto taken = take_text(tag(kSoname), soname); !taken) return taken;
    out_.soname = soname.value_or("");
    if (auto taken = take_text(tag(kRunPath), out_.run_path); !taken) return taken;
    return take_text(tag(kRpath), out_.old_r_path);
  }

  /// What the steps that follow will read, as far as their sizes are known, for sources that are far away.
  void announce(const ByteExtent& names) {
    constexpr std::uint64_t kSmall = 2048;
    std::vector<ByteExtent> extents = {names};
    for (auto which : {kHash, kGnuHash, kVersionNeeds, kVersionDefinitions})
      if (auto table = place(which)) extents.push_back({.offset = table->offset, .length = kSmall});
    // The symbols usually lie right before their names.
    if (auto table = place(kSymbolTable); table && table->offset < names.offset)
      extents.push_back({.offset = table->offset, .length = names.offset - table->offset});
    for (auto& extent : extents)
      extent.length = std::min(extent.length, ByteSource::kMaxView);
    source_.prefetch(extents);
  }

  Status symbols() {
    auto table = place(kSymbolTable);
    if (!table || out_.tables.names.length == 0) return {};
    auto count = symbol_count(*table);
    if (!count) return std::unexpected(std::move(count).error());
    if (*count > kMaxSymbols) return too_many("symbols", kMaxSymbols);
    if (*count > table->length / kSymbolSize) return corrupt("the table of symbols leaves its segment");
    out_.tables.symbols = {.offset = table->offset, .length = *count * kSymbolSize};
    auto versions = place(kVersionSymbols);
    if (versions && versions->length >= *count * 2)
      out_.tables.symbol_versions = {.offset = versions->offset, .length = *count * 2};
    return {};
  }

  /// The table has no length of its own: the old hash table states it, the GNU one implies it, and without
  /// either it ends where the names begin.
  Result<std::uint64_t> symbol_count(const ByteExtent& table) {
    if (auto hash = place(kHash)) {
      auto count = source_.le<std::uint32_t>(hash->offset + 4);
      if (!count) return std::unexpected(std::move(count).error());
      return *count;
    }
    if (auto hash = place(kGnuHash)) return gnu_symbol_count(hash->offset);
    const auto& names = out_.tables.names;
    return names.offset > table.offset ? (names.offset - table.offset) / kSymbolSize : 0;
  }

  Result<std::uint64_t> gnu_symbol_count(std::uint64_t hash) {
    auto head = source_.view(hash, 16);
    if (!head) return std::unexpected(std::move(head).error());
    std::uint64_t buckets = field<std::uint32_t>(*head, 0);
    std::uint64_t first = field<std::uint32_t>(*head, 4);
    std::uint64_t bloom = field<std::uint32_t>(*head, 8);
    if (buckets > kMaxSymbols) return too_many("hash buckets", kMaxSymbols);
    const auto table = hash + 16 + bloom * 8;
    std::uint64_t last = 0;
    auto read = for_each_record(source_, table, buckets, 4, [&](ByteView record) {
      last = std::max<std::uint64_t>(last, field<std::uint32_t>(record, 0));
      return Status{};
    });
    if (!read) return std::unexpected(std::move(read).error());
    if (last < first) return first;
    const auto chains = table + buckets * 4;
    for (; last < kMaxSymbols; ++last) {
      auto chain = source_.le<std::uint32_t>(chains + (last - first) * 4);
      if (!chain) return std::unexpected(std::move(chain).error());
      if ((*chain & 1U) != 0) return last + 1;
    }
    return too_many("symbols", kMaxSymbols);
  }

  /// A version's name and its index in the table of symbol versions.
  Status take_version(std::uint16_t index, const std::string& name) {
    auto& versions = out_.tables.version_names;
    if (versions.size() >= kMaxVersions) return too_many("versions", kMaxVersions);
    versions.emplace_back(static_cast<std::uint16_t>(index & 0x7fffU), name);
    return {};
  }

  Status needs() {
    auto table = place(kVersionNeeds);
    auto count = tag(kVersionNeedCount);
    if (!table || !count) return {};
    auto at = table->offset;
    for (std::uint64_t i = 0; i < *count; ++i) {
      if (i >= kMaxVersions) return too_many("libraries with versions", kMaxVersions);
      auto record = source_.view(at, 16);
      if (!record) return std::unexpected(std::move(record).error());
      auto entries = field<std::uint16_t>(*record, 2);
      auto file = field<std::uint32_t>(*record, 4);
      auto first = field<std::uint32_t>(*record, 8);
      auto next = field<std::uint32_t>(*record, 12);
      auto library = text(file);
      if (!library) return std::unexpected(std::move(library).error());
      if (auto read = needs_of(at + first, entries, *library); !read) return read;
      if (next == 0) break;
      at += next;
    }
    return {};
  }

  Status needs_of(std::uint64_t at, std::uint16_t entries, const std::string& library) {
    for (std::uint16_t i = 0; i < entries; ++i) {
      auto record = source_.view(at, 16);
      if (!record) return std::unexpected(std::move(record).error());
      auto is_weak = (field<std::uint16_t>(*record, 4) & 2U) != 0;
      auto index = field<std::uint16_t>(*record, 6);
      auto name_at = field<std::uint32_t>(*record, 8);
      auto next = field<std::uint32_t>(*record, 12);
      auto name = text(name_at);
      if (!name) return std::unexpected(std::move(name).error());
      if (auto taken = take_version(index, *name); !taken) return taken;
      out_.versions_needed.push_back({.library = library, .version = std::move(*name), .is_weak = is_weak});
      if (next == 0) return {};
      at += next;
    }
    return {};
  }

  Status definitions() {
    auto table = place(kVersionDefinitions);
    auto count = tag(kVersionDefinitionCount);
    if (table && count) {
      auto at = table->offset;
      for (std::uint64_t i = 0; i < *count; ++i) {
        auto record = source_.view(at, 20);
        if (!record) return std::unexpected(std::move(record).error());
        auto is_file = (field<std::uint16_t>(*record, 2) & 1U) != 0;
        auto index = field<std::uint16_t>(*record, 4);
        auto first = field<std::uint32_t>(*record, 12);
        auto next = field<std::uint32_t>(*record, 16);
        auto name_at = source_.le<std::uint32_t>(at + first);
        if (!name_at) return std::unexpected(std::move(name_at).error());
        auto name = text(*name_at);
        if (!name) return std::unexpected(std::move(name).error());
        if (auto taken = take_version(index, *name); !taken) return taken;
        if (!is_file) out_.versions_defined.push_back(std::move(*name));
        if (next == 0) break;
        at += next;
      }
    }
    std::ranges::stable_sort(out_.tables.version_names, {}, &std::pair<std::uint16_t, std::string>::first);
    return {};
  }

  Status sections() {
    if (section_table_ == 0) return {};
    if (section_size_ < 64) return corrupt("section headers of " + std::to_string(section_size_) + " bytes");
    // More than the header's fields can hold stands in the first section.
    auto first = source_.view(section_table_, 64);
    if (!first) return std::unexpected(std::move(first).error());
    std::uint64_t count = section_count_ == 0 ? field<std::uint64_t>(*first, 32) : section_count_;
    std::uint64_t names = section_names_ == 0xffff ? field<std::uint32_t>(*first, 40) : section_names_;
    if (count > kMaxSections) return too_many("sections", kMaxSections);
    if (names >= count) return corrupt("the table of section names is not there");
    auto name_section = source_.view(section_table_ + names * section_size_, 64);
    if (!name_section) return std::unexpected(std::move(name_section).error());
    ByteExtent texts{.offset = field<std::uint64_t>(*name_section, 24),
                     .length = field<std::uint64_t>(*name_section, 32)};
    if (texts.offset > source_.size() || texts.length > source_.size() - texts.offset)
      return corrupt("the table of section names leaves the file");
    std::array soon{texts};
    source_.prefetch(soon);
    return for_each_record(source_, section_table_, count, section_size_,
                           [&](ByteView record) { return take_section(record, texts); });
  }

  Status take_section(ByteView record, const ByteExtent& texts) {
    constexpr std::uint32_t kNoBits = 8;
    auto type = field<std::uint32_t>(record, 4);
    ByteExtent bytes{.offset = field<std::uint64_t>(record, 24), .length = field<std::uint64_t>(record, 32)};
    if (type == 0 || type == kNoBits) bytes = {};
    if (bytes.offset > source_.size() || bytes.length > source_.size() - bytes.offset)
      return corrupt("a section leaves the file");
    auto name = source_.c_string(texts.offset + field<std::uint32_t>(record, 0), texts.offset + texts.length,
                                 kMaxName);
    if (!name) return std::unexpected(std::move(name).error());
    name_bytes_ += name->size();
    if (name_bytes_ > kMaxNameBytes) return too_many("bytes of names", kMaxNameBytes);
    out_.sections.push_back({.name = std::string(*name), .type = type, .bytes = bytes});
    return {};
  }

  ByteSource& source_;
  ElfFile out_;
  std::uint64_t segment_table_ = 0;
  std::uint64_t section_table_ = 0;
  std::uint16_t segment_size_ = 0;
  std::uint16_t segment_count_ = 0;
  std::uint16_t section_size_ = 0;
  std::uint16_t section_count_ = 0;
  std::uint16_t section_names_ = 0;
  std::vector<Segment> loads_;
  std::optional<ByteExtent> dynamic_;
  std::map<std::int64_t, std::uint64_t> tags_;
  std::vector<std::uint64_t> needed_;
  std::uint64_t name_bytes_ = 0;
};

/// One entry of the table of symbols.
struct Symbol {
  std::uint32_t name = 0;
  std::uint8_t binding = 0;
  bool is_defined = false;
};
constexpr std::uint8_t kWeak = 2;
constexpr std::uint8_t kUnique = 10;

template <class Visit>
Status for_each_symbol(ByteSource& source, const ElfFile& file, const Visit& visit) {
  std::uint64_t index = 0;
  return for_each_record(source, file.tables.symbols.offset, file.tables.symbols.length / kSymbolSize,
                         kSymbolSize, [&](ByteView record) {
                           Symbol symbol{
                               .name = field<std::uint32_t>(record, 0),
                               .binding = static_cast<std::uint8_t>(field<std::uint8_t>(record, 4) >> 4U),
                               .is_defined = field<std::uint16_t>(record, 6) != 0};
                           return visit(index++, symbol);
                         });
}

std::string version_name(ByteSource& source, const ElfTables& tables, std::uint64_t symbol) {
  if (!tables.symbol_versions) return {};
  auto index = source.le<std::uint16_t>(tables.symbol_versions->offset + symbol * 2).value_or(0) & 0x7fffU;
  const auto& names = tables.version_names;
  auto found = std::ranges::lower_bound(names, index, {}, &std::pair<std::uint16_t, std::string>::first);
  return found != names.end() && found->first == index && index > 1 ? found->second : std::string();
}

/// Where in the table of names a name that begins with one of the prefixes may stand. A name can be the end
/// of a longer one, so it need not follow a zero byte.
Result<std::vector<std::uint64_t>> places_of(ByteSource& source, const ByteExtent& names,
                                             std::span<const std::string_view> prefixes) {
  std::vector<std::uint64_t> out;
  std::uint64_t longest = 1;
  for (auto prefix : prefixes)
    longest = std::max<std::uint64_t>(longest, prefix.size());
  constexpr std::uint64_t kPiece = 256ULL << 10;
  for (std::uint64_t begin = 0; begin < names.length; begin += kPiece) {
    auto length = std::min(kPiece + longest - 1, names.length - begin);
    auto bytes = source.view(names.offset + begin, length);
    if (!bytes) return std::unexpected(std::move(bytes).error());
    std::string_view text(reinterpret_cast<const char*>(bytes->bytes().data()), length);
    for (auto prefix : prefixes)
      for (auto at = text.find(prefix); at < kPiece; at = text.find(prefix, at + 1))
        out.push_back(begin + at);
    if (out.size() > kMaxSymbols) return too_many("names", kMaxSymbols);
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

const ElfSection* ElfFile::section(std::string_view name) const {
  auto found = std::ranges::find(sections, name, &ElfSection::name);
  return found == sections.end() ? nullptr : &*found;
}

Result<ElfFile> read_elf(ByteSource& source) {
  auto file = Reader(source).read();
  if (!file && file.error().code() == Errc::corrupt)
    return fail(std::move(file).error().at("damaged ELF file"));
  return file;
}

Result<std::vector<ElfUndefined>> undefined_symbols(ByteSource& source, const ElfFile& file) {
  std::vector<ElfUndefined> out;
  const auto& names = file.tables.names;
  std::uint64_t name_bytes = 0;
  auto read = for_each_symbol(source, file, [&](std::uint64_t index, const Symbol& symbol) -> Status {
    if (symbol.is_defined || symbol.name == 0) return {};
    auto name = source.c_string(names.offset + symbol.name, names.offset + names.length, kMaxName);
    if (!name) return std::unexpected(std::move(name).error());
    ElfUndefined item{.name = std::string(*name), .version = {}, .is_weak = symbol.binding == kWeak};
    item.version = version_name(source, file.tables, index);
    // The strings themselves weigh more than short names do.
    name_bytes += item.name.size() + item.version.size() + sizeof(item);
    if (name_bytes > kMaxNameBytes) return too_many("bytes of undefined symbols", kMaxNameBytes);
    out.push_back(std::move(item));
    return {};
  });
  if (!read) return std::unexpected(std::move(read).error());
  return out;
}

Result<std::vector<std::string>> exported_symbols(ByteSource& source, const ElfFile& file,
                                                  std::span<const std::string_view> prefixes) {
  const auto& names = file.tables.names;
  auto places = places_of(source, names, prefixes);
  if (!places) return std::unexpected(std::move(places).error());
  std::vector<std::string> out;
  if (places->empty() && !prefixes.empty()) return out;
  std::uint64_t name_bytes = 0;
  auto read = for_each_symbol(source, file, [&](std::uint64_t, const Symbol& symbol) -> Status {
    if (!symbol.is_defined || symbol.name == 0) return {};
    if (!prefixes.empty() && !std::ranges::binary_search(*places, symbol.name)) return {};
    auto name = source.c_string(names.offset + symbol.name, names.offset + names.length, kMaxName);
    if (!name) return std::unexpected(std::move(name).error());
    name_bytes += name->size() + sizeof(std::string);
    if (name_bytes > kMaxNameBytes) return too_many("bytes of exported symbols", kMaxNameBytes);
    out.emplace_back(*name);
    return {};
  });
  if (!read) return std::unexpected(std::move(read).error());
  std::ranges::sort(out);
  return out;
}

Result<bool> has_unique_symbols(ByteSource& source, const ElfFile& file) {
  bool found = false;
  auto read = for_each_symbol(source, file, [&](std::uint64_t, const Symbol& symbol) {
    found |= symbol.is_defined && symbol.binding == kUnique;
    return Status{};
  });
  if (!read) return std::unexpected(std::move(read).error());
  return found;
}

}  // namespace kernels
