#include "kernels/inspect/gpu_code.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "unpack.h"

namespace kernels::inspect {

namespace {

constexpr std::uint32_t kMagic = 0xBA55ED50;
constexpr std::uint64_t kContainerHeader = 16;
constexpr std::uint64_t kSmallestImageHeader = 0x40;
constexpr std::uint64_t kMaxImages = 1 << 14;
constexpr std::uint64_t kMaxSearched = 1ULL << 30;
/// Empty machine code is a little over 1 KiB, an empty PTX some hundred bytes.
constexpr std::uint64_t kSmallImage = 4096;

constexpr std::uint64_t kFlagLz4 = 0x2000;
constexpr std::uint64_t kFlagZstd = 0x8000;
constexpr std::uint64_t kFlagSpecific = 0x100000;
constexpr std::uint64_t kFlagFamily = 0x200000;

std::unexpected<Error> damaged(std::uint64_t offset, std::string text) {
  return fail(Errc::corrupt, "damaged GPU code at byte " + std::to_string(offset) + ": " + std::move(text));
}

constexpr std::uint64_t align8(std::uint64_t value) {
  return (value + 7) & ~std::uint64_t{7};
}

CodeKind kind_of(std::uint16_t number) {
  constexpr std::uint16_t kPtx = 1;
  constexpr std::uint16_t kSass = 2;
  constexpr std::uint16_t kLto = 8;
  return number == kPtx    ? CodeKind::ptx
         : number == kSass ? CodeKind::sass
         : number == kLto  ? CodeKind::lto
                           : CodeKind::other;
}

template <class T>
T field(ByteView bytes, std::uint64_t offset) {
  return bytes.le<T>(offset).value_or(T{});
}

/// Where the walk through the images of one container stands.
struct Walk {
  std::size_t container = 0;
  std::uint64_t at = 0;
  std::uint64_t end = 0;
};

/// Where the search for the next container goes on, in one region of the file.
struct Search {
  std::uint64_t at = 0;
  std::uint64_t end = 0;
  bool is_relocatable = false;
  /// In a section for GPU code every container counts, so a damaged one is an error; elsewhere the magic
  /// number may be there by chance.
  bool is_certain = true;
};

/// Walks all containers at the same time, one image of each a round, so that a source that is far away can
/// fetch the headers of a round at once.
class ContainerReader {
 public:
  explicit ContainerReader(ByteSource& source) : source_(source) {}

  void add(Search search) { searches_.push_back(search); }

  Result<GpuCode> read() {
    while (!searches_.empty() || !walks_.empty()) {
      announce();
      auto walks = std::exchange(walks_, {});
      for (auto& walk : walks)
        if (auto done = step(walk); !done) return std::unexpected(std::move(done).error());
      auto searches = std::exchange(searches_, {});
      for (auto& search : searches)
        if (auto done = find(search); !done) return std::unexpected(std::move(done).error());
    }
    std::ranges::stable_sort(out_.containers, {}, &GpuContainer::offset);
    return std::move(out_);
  }

 private:
  void announce() {
    constexpr std::uint64_t kUsualImageHeader = 0x80;
    std::vector<ByteExtent> extents;
    for (const auto& walk : walks_)
      extents.push_back({.offset = walk.at, .length = std::min(kUsualImageHeader, walk.end - walk.at)});
    for (const auto& search : searches_)
      extents.push_back({.offset = search.at,
                         .length = std::min(kContainerHeader + kUsualImageHeader, search.end - search.at)});
    source_.prefetch(extents);
  }

  /// Finds the next container of a region, notes it and where the search goes on behind it.
  Status find(Search search) {
    auto found = next_magic(search);
    if (!found) return std::unexpected(std::move(found).error());
    if (!*found) return {};
    auto at = **found;
    auto header = source_.view(at, std::min(kContainerHeader, search.end - at));
    if (!header) return std::unexpected(std::move(header).error());
    auto version = field<std::uint16_t>(*header, 4);
    auto header_size = field<std::uint16_t>(*header, 6);
    auto size = field<std::uint64_t>(*header, 8);
    bool fits = header->size() == kContainerHeader && header_size >= kContainerHeader &&
                header_size <= search.end - at && size <= search.end - at - header_size;
    if (version != 1 || !fits) {
      if (search.is_certain)
        return damaged(at, fits ? "a container of version " + std::to_string(version)
                                : "a container that leaves its section");
      search.at = at + 8;
      searches_.push_back(search);
      return {};
    }
    out_.containers.push_back({.offset = at, .is_relocatable = search.is_relocatable, .images = {}});
    walks_.push_back(
        {.container = out_.containers.size() - 1, .at = at + header_size, .end = at + header_size + size});
    if (out_.containers.size() > kMaxImages)
      return fail(Errc::unsupported, "more GPU code containers than any library has");
    search.at = align8(at + header_size + size);
    if (search.at < search.end) searches_.push_back(search);
    return {};
  }

  /// The place of the next magic number at a multiple of 8 from where the search stands.
  Result<std::optional<std::uint64_t>> next_magic(Search& search) {
    constexpr std::uint64_t kPiece = 64ULL << 10;
    while (search.end > search.at && search.end - search.at >= 8) {
      // Holes read as zeros, and there may be gigabytes of them.
      search.at += (source_.next_data(search.at) - search.at) / 8 * 8;
      if (search.at >= search.end) break;
      auto length = std::min(kPiece, search.end - search.at);
      // Nearly always it stands right here.
      if (auto here = std::min<std::uint64_t>(length, 8); here >= 4) {
        auto magic = source_.le<std::uint32_t>(search.at);
        if (!magic) return std::unexpected(std::move(magic).error());
        if (*magic == kMagic) return search.at;
      }
      searched_ += length;
      if (searched_ > kMaxSearched) {
        out_.is_complete = false;
        return std::nullopt;
      }
      auto bytes = source_.view(search.at, length);
      if (!bytes) return std::unexpected(std::move(bytes).error());
      for (std::uint64_t i = 0; i + 4 <= length; i += 8) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes->bytes().data() + i, sizeof(word));
        if (word == kMagic) return search.at + i;
      }
      search.at += (length + 7) / 8 * 8;
    }
    return std::nullopt;
  }

  /// Reads the image at which a walk stands.
  Status step(Walk walk) {
    if (walk.at == walk.end) return {};
    auto& container = out_.containers[walk.container];
    if (walk.end - walk.at < kSmallestImageHeader)
      return damaged(walk.at, "an image that leaves its container");
    auto header = source_.view(walk.at, kSmallestImageHeader);
    if (!header) return std::unexpected(std::move(header).error());
    auto header_size = field<std::uint32_t>(*header, 4);
    auto payload = field<std::uint64_t>(*header, 8);
    auto room = walk.end - walk.at;
    if (header_size < kSmallestImageHeader || header_size > room || payload > room - header_size)
      return damaged(walk.at, "an image that leaves its container");
    container.images.push_back(image_of(*header, {.offset = walk.at + header_size, .length = payload}));
    if (++images_ > kMaxImages) return fail(Errc::unsupported, "more GPU code images than any library has");
    walk.at += header_size + payload;
    if (walk.at < walk.end) walks_.push_back(walk);
    return {};
  }

  static GpuImage image_of(ByteView header, ByteExtent payload) {
    auto flags = field<std::uint64_t>(header, 0x28);
    auto compressed = field<std::uint32_t>(header, 0x10);
    auto arch = field<std::uint32_t>(header, 0x1c);
    GpuImage image;
    image.kind = kind_of(field<std::uint16_t>(header, 0));
    image.capability = {.major = arch / 10, .minor = arch % 10};
    image.suffix = (flags & kFlagSpecific) != 0 ? ArchSuffix::specific
                   : (flags & kFlagFamily) != 0 ? ArchSuffix::family
                                                : ArchSuffix::none;
    image.version = {.major = field<std::uint16_t>(header, 0x1a),
                     .minor = field<std::uint16_t>(header, 0x18)};
    image.compression = (flags & kFlagZstd) != 0  ? Compression::zstd
                        : (flags & kFlagLz4) != 0 ? Compression::lz4
                                                  : Compression::none;
    image.payload = payload;
    image.uncompressed_size = payload.length;
    if (image.compression != Compression::none) {
      // Without the padding at the end.
      if (compressed != 0) image.payload.length = std::min<std::uint64_t>(compressed, payload.length);
      image.uncompressed_size = field<std::uint64_t>(header, 0x38);
    }
    return image;
  }

  ByteSource& source_;
  GpuCode out_;
  std::vector<Search> searches_;
  std::vector<Walk> walks_;
  std::uint64_t searched_ = 0;
  std::uint64_t images_ = 0;
};

Result<std::vector<std::byte>> read_all(ByteSource& source, const ByteExtent& extent) {
  if (extent.length > kMaxUnpacked)
    return fail(Errc::unsupported, "more than 16 MiB of GPU code in one piece");
  std::array soon{extent};
  source.prefetch(soon);
  std::vector<std::byte> out;
  for (std::uint64_t done = 0; done < extent.length; done += ByteSource::kMaxView) {
    auto bytes = source.view(extent.offset + done, std::min(ByteSource::kMaxView, extent.length - done));
    if (!bytes) return std::unexpected(std::move(bytes).error());
    out.insert(out.end(), bytes->bytes().begin(), bytes->bytes().end());
  }
  return out;
}

constexpr std::string_view kTextSection = ".text.";

struct Machine {
  bool is_relocatable = false;
  std::vector<std::string> functions;
};

/// Functions of machine code have a section of their own each.
Result<Machine> read_machine_code(ByteSource& cubin) {
  auto file = read_elf(cubin);
  if (!file) return std::unexpected(std::move(file).error());
  if (file->sections_unreadable) return fail(Errc::corrupt, "machine code whose sections cannot be read");
  Machine out{.is_relocatable = file->type == ElfType::relocatable, .functions = {}};
  for (const auto& section : file->sections)
    if (section.name.starts_with(kTextSection))
      out.functions.push_back(section.name.substr(kTextSection.size()));
  return out;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         c == '%';
}

/// Longer than any that a compiler makes.
constexpr std::size_t kMaxName = 32 << 10;

/// The names behind the directive `.entry`. Comments that hold the word are the compiler's own and rare; a
/// name too many is better than one too few.
std::vector<std::string> ptx_entries(std::string_view text) {
  constexpr std::string_view kEntry = ".entry";
  std::vector<std::string> out;
  for (auto at = text.find(kEntry); at != std::string_view::npos; at = text.find(kEntry, at)) {
    at += kEntry.size();
    auto begin = text.find_first_not_of(" \t\r\n", at);
    if (begin == std::string_view::npos || begin == at) continue;
    auto end = begin;
    while (end < text.size() && is_name_character(text[end]))
      ++end;
    if (end > begin && end - begin <= kMaxName) out.emplace_back(text.substr(begin, end - begin));
  }
  return out;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Looks into a small image. What cannot be read counts as code: the verdict must not become better by
/// damage.
void look_into(ByteSource& source, GpuImage& image) {
  if (image.kind != CodeKind::sass && image.kind != CodeKind::ptx) return;
  if (image.uncompressed_size > kSmallImage) return;
  auto content = unpack(source, image);
  if (!content) return;
  bool has_functions = true;
  if (image.kind == CodeKind::sass) {
    MemorySource cubin{ByteView(*content)};
    auto code = read_machine_code(cubin);
    if (!code) return;
    image.is_relocatable = code->is_relocatable;
    has_functions = !code->functions.empty();
  } else {
    auto text = text_of(*content);
    has_functions = text.contains(".entry") || text.contains(".func") || text.contains(".global");
  }
  image.content = has_functions ? ImageContent::has_functions : ImageContent::empty;
}

/// Whether an uncompressed image is made for the device linker. Compressed ones would have to be unpacked.
void look_at_type(ByteSource& source, GpuImage& image) {
  constexpr std::uint16_t kRelocatable = 1;
  if (image.kind != CodeKind::sass || image.compression != Compression::none || image.payload.length < 64)
    return;
  auto type = source.le<std::uint16_t>(image.payload.offset + 16);
  if (type) image.is_relocatable = *type == kRelocatable;
}

/// All small images of a far source are fetched at once before they are looked into.
void look_into_images(ByteSource& source, GpuCode& code) {
  std::vector<ByteExtent> extents;
  for (const auto& container : code.containers)
    for (const auto& image : container.images)
      if (!container.is_relocatable && image.uncompressed_size <= kSmallImage)
        extents.push_back(image.payload);
  source.prefetch(extents);
  for (auto& container : code.containers) {
    if (container.is_relocatable) continue;
    for (auto& image : container.images)
      look_into(source, image);
  }
}

/// Without a table of sections only the images themselves tell what the linker has left over.
void find_relocatable(ByteSource& source, GpuCode& code) {
  for (auto& container : code.containers) {
    bool any = false;
    bool all = true;
    for (auto& image : container.images) {
      look_at_type(source, image);
      if (image.kind != CodeKind::sass) continue;
      any = true;
      all = all && image.is_relocatable;
    }
    container.is_relocatable = any && all;
  }
}

void find_foreign(GpuCode& code, const ElfFile& file) {
  constexpr std::uint16_t kAmdGpu = 224;
  auto has = [&](std::string_view part) {
    return std::ranges::any_of(file.sections,
                               [&](const auto& section) { return section.name.starts_with(part); });
  };
  if (file.machine == kAmdGpu || has(".hip_fatbin") || has(".hipFatBinSegment"))
    code.foreign.push_back(ForeignCode::amd);
  if (has("__CLANG_OFFLOAD_BUNDLE__sycl") || has("__clang_offload") || has(".spirv"))
    code.foreign.push_back(ForeignCode::intel);
}

}  // namespace

std::string GpuImage::arch() const {
  const char* prefix = kind == CodeKind::ptx    ? "compute_"
                       : kind == CodeKind::lto  ? "lto_"
                       : kind == CodeKind::sass ? "sm_"
                                                : "kind?_";
  const char* end = suffix == ArchSuffix::specific ? "a" : suffix == ArchSuffix::family ? "f" : "";
  return prefix + std::to_string(capability.major) + std::to_string(capability.minor) + end;
}

bool GpuContainer::is_empty() const {
  return std::ranges::all_of(images,
                             [](const GpuImage& image) { return image.content == ImageContent::empty; });
}

std::string to_string(ForeignCode code) {
  return code == ForeignCode::amd ? "AMD" : "Intel";
}

Result<GpuCode> read_gpu_code(ByteSource& source, const ElfFile& file) {
  ContainerReader reader(source);
  bool has_table = !file.sections.empty();
  for (const auto& section : file.sections) {
    bool is_relocatable = section.name == "__nv_relfatbin";
    if (!is_relocatable && section.name != ".nv_fatbin") continue;
    reader.add({.at = section.bytes.offset,
                .end = section.bytes.offset + section.bytes.length,
                .is_relocatable = is_relocatable,
                .is_certain = true});
  }
  if (!has_table)
    for (const auto& data : file.loaded_data) {
      auto begin = std::min(align8(data.offset), source.size());
      auto end = std::min(data.length, source.size() - std::min(data.offset, source.size())) + data.offset;
      if (begin < end) reader.add({.at = begin, .end = end, .is_relocatable = false, .is_certain = false});
    }
  auto code = reader.read();
  if (!code) return code;
  if (!has_table) find_relocatable(source, *code);
  look_into_images(source, *code);
  find_foreign(*code, file);
  return code;
}

Result<GpuCode> read_fat_binary(ByteSource& source) {
  ContainerReader reader(source);
  reader.add({.at = 0, .end = source.size(), .is_relocatable = false, .is_certain = true});
  auto code = reader.read();
  if (!code) return code;
  find_relocatable(source, *code);
  look_into_images(source, *code);
  return code;
}

Result<std::vector<std::byte>> unpack(ByteSource& source, const GpuImage& image) {
  auto raw = read_all(source, image.payload);
  if (!raw || image.compression == Compression::none) return raw;
  return image.compression == Compression::lz4 ? unpack_lz4(*raw, image.uncompressed_size)
                                               : unpack_zstd(*raw, image.uncompressed_size);
}

Result<std::vector<std::string>> function_names(ByteSource& source, const GpuImage& image) {
  std::vector<std::string> out;
  if (image.kind == CodeKind::sass && image.compression == Compression::none) {
    PartSource cubin(source, image.payload);
    auto code = read_machine_code(cubin);
    if (!code) return std::unexpected(std::move(code).error());
    out = std::move(code->functions);
  } else if (image.kind == CodeKind::sass || image.kind == CodeKind::ptx) {
    auto content = unpack(source, image);
    if (!content) return std::unexpected(std::move(content).error());
    MemorySource cubin{ByteView(*content)};
    if (image.kind == CodeKind::ptx) {
      out = ptx_entries(text_of(*content));
    } else {
      auto code = read_machine_code(cubin);
      if (!code) return std::unexpected(std::move(code).error());
      out = std::move(code->functions);
    }
  } else {
    return fail(Errc::corrupt, "an image that holds neither machine code nor PTX");
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace kernels::inspect
