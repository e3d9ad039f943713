#include "kernels/inspect/library.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace kernels::inspect {

namespace {

constexpr std::string_view kTvmFfiPrefix = "__tvm_ffi_";
constexpr std::string_view kModulePrefix = "PyInit_";

std::string_view text_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes().data()), bytes.bytes().size()};
}

Result<FileKind> kind_of(ByteSource& source) {
  auto head = source.view(0, std::min<std::uint64_t>(source.size(), 32));
  if (!head) return std::unexpected(std::move(head).error());
  auto text = text_of(*head);
  using namespace std::string_view_literals;
  if (text.starts_with("\x7f"
                       "ELF"sv))
    return FileKind::elf;
  if (text.starts_with("\x50\xED\x55\xBA"sv)) return FileKind::fat_binary;
  // 64-bit, 32-bit and universal files; the latter share their number with Java classes, whose next field is
  // large.
  for (auto magic :
       {"\xcf\xfa\xed\xfe"sv, "\xce\xfa\xed\xfe"sv, "\xca\xfe\xba\xbe\x00\x00\x00"sv, "\xca\xfe\xba\xbf"sv})
    if (text.starts_with(magic)) return FileKind::mach_o;
  if (text.starts_with("MZ"sv)) return FileKind::windows;
  if (text.starts_with("MTLB"sv)) return FileKind::metal;
  if (text.starts_with("__CLANG_OFFLOAD_BUNDLE__"sv) || text.starts_with("CCOB"sv))
    return FileKind::amd_bundle;
  if (text.starts_with("!<arch>\n"sv)) return FileKind::archive;
  return FileKind::other;
}

/// The parts of a version such as `3.4.24`; nothing for names.
std::optional<std::vector<std::uint32_t>> numbers_of(std::string_view version) {
  std::vector<std::uint32_t> out;
  while (true) {
    std::uint32_t number = 0;
    auto [end, code] = std::from_chars(version.data(), version.data() + version.size(), number);
    if (code != std::errc()) return std::nullopt;
    out.push_back(number);
    version.remove_prefix(static_cast<std::size_t>(end - version.data()));
    if (version.empty()) return out;
    if (version.front() != '.') return std::nullopt;
    version.remove_prefix(1);
  }
}

/// `GLIBC_2.17` is version 2.17 of the family GLIBC. `GLIBC_ABI_DT_RELR` is the name ABI_DT_RELR of that
/// family.
void split(const std::string& name, std::string& family, std::string& version) {
  auto underscore = name.find('_');
  family = name.substr(0, underscore);
  version = underscore == std::string::npos ? "" : name.substr(underscore + 1);
}

std::vector<NewestVersion> newest_versions(const ElfFile& file, const std::vector<ElfUndefined>& undefined) {
  std::map<std::string, NewestVersion> numbered;
  std::vector<NewestVersion> out;
  for (const auto& need : file.versions_needed) {
    if (need.is_weak) continue;
    NewestVersion item{.family = {}, .version = {}, .library = need.library, .symbol = {}};
    split(need.version, item.family, item.version);
    auto symbol = std::ranges::find(undefined, need.version, &ElfUndefined::version);
    if (symbol != undefined.end()) item.symbol = symbol->name;
    auto number = numbers_of(item.version);
    if (!number) {
      if (std::ranges::find(out, item) == out.end()) out.push_back(std::move(item));
      continue;
    }
    auto [best, is_new] = numbered.try_emplace(item.family, item);
    if (!is_new && *number > numbers_of(best->second.version)) best->second = std::move(item);
  }
  for (auto& [family, item] : numbered)
    out.push_back(std::move(item));
  std::ranges::stable_sort(out, {}, &NewestVersion::family);
  return out;
}

bool is_torch_c_name(std::string_view name) {
  return name.starts_with("aoti_") || name.starts_with("torch_");
}

Status read_symbols(ByteSource& source, LibraryFacts& facts) {
  auto undefined = undefined_symbols(source, *facts.elf);
  if (!undefined) return std::unexpected(std::move(undefined).error());
  facts.versions = newest_versions(*facts.elf, *undefined);
  for (auto& symbol : *undefined) {
    if (symbol.is_weak) continue;
    if (symbol.name.starts_with("Py") || symbol.name.starts_with("_Py"))
      facts.python_symbols.push_back(std::move(symbol.name));
    else if (symbol.name.starts_with("TVMFFI"))
      facts.tvm_ffi_symbols.push_back(std::move(symbol.name));
    else if (is_torch_c_name(symbol.name) || is_unstable_torch_name(symbol.name))
      facts.torch_symbols.push_back(std::move(symbol.name));
  }
  constexpr std::array prefixes{kTvmFfiPrefix, kModulePrefix};
  auto exports = exported_symbols(source, *facts.elf, prefixes);
  if (!exports) return std::unexpected(std::move(exports).error());
  for (const auto& name : *exports) {
    if (name.starts_with(kModulePrefix))
      facts.python_modules.push_back(name.substr(kModulePrefix.size()));
    else if (name.size() > kTvmFfiPrefix.size() && name[kTvmFfiPrefix.size()] != '_')
      facts.tvm_ffi_functions.push_back(name.substr(kTvmFfiPrefix.size()));
  }
  auto unique = has_unique_symbols(source, *facts.elf);
  if (!unique) return std::unexpected(std::move(unique).error());
  facts.has_unique_symbols = *unique;
  return {};
}

/// The name at the start of what is left of a mangled name: its length, then its text.
std::optional<std::string_view> next_part(std::string_view& rest) {
  std::size_t length = 0;
  auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
  if (code != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (length > rest.size()) return std::nullopt;
  auto part = rest.substr(0, length);
  rest.remove_prefix(length);
  return part;
}

}  // namespace

std::string to_string(FileKind kind) {
  switch (kind) {
    case FileKind::elf:
      return "ELF";
    case FileKind::fat_binary:
      return "CUDA fat binary";
    case FileKind::mach_o:
      return "Mach-O";
    case FileKind::windows:
      return "Windows";
    case FileKind::metal:
      return "Metal library";
    case FileKind::amd_bundle:
      return "AMD code objects";
    case FileKind::archive:
      return "archive";
    case FileKind::other:
      return "other";
  }
  return {};
}

std::string short_function_name(std::string_view mangled) {
  constexpr std::size_t kLongest = 300;
  if (mangled.size() > kLongest && !mangled.starts_with("_Z"))
    return std::string(mangled.substr(0, kLongest)) + "…";
  auto rest = mangled;
  if (!rest.starts_with("_Z")) return std::string(mangled);
  rest.remove_prefix(2);
  bool nested = rest.starts_with('N');
  if (nested) rest.remove_prefix(1);
  std::string out;
  while (auto part = next_part(rest)) {
    // Unnamed namespaces have names of their own, which nobody wrote.
    if (!part->starts_with("_GLOBAL__N_") && !part->starts_with("_INTERNAL_"))
      out += (out.empty() ? "" : "::") + std::string(*part);
    if (rest.starts_with('I')) {
      out += "<…>";
      break;
    }
    if (!nested) break;
  }
  if (out.empty()) out = mangled;
  return out.size() <= kLongest ? out : out.substr(0, kLongest) + "…";
}

bool is_unstable_torch_name(std::string_view mangled) {
  if (!mangled.starts_with("_Z")) return false;
  mangled.remove_prefix(2);
  // Tables, type information, guards: what stands behind is the name they belong to.
  for (std::string_view special : {"TV", "TI", "TS", "TT", "GV", "GR"})
    if (mangled.starts_with(special)) {
      mangled.remove_prefix(2);
      break;
    }
  if (!mangled.starts_with('N')) return false;
  mangled.remove_prefix(1);
  mangled.remove_prefix(std::min(mangled.find_first_not_of("rVKRO"), mangled.size()));
  auto outer = next_part(mangled);
  if (!outer) return false;
  if (*outer == "c10" || *outer == "at") return true;
  if (*outer != "torch") return false;
  auto inner = next_part(mangled);
  return inner != "stable" && inner != "headeronly";
}

Result<LibraryFacts> read_library(ByteSource& source) {
  LibraryFacts facts;
  facts.size = source.size();
  auto kind = kind_of(source);
  if (!kind) return std::unexpected(std::move(kind).error());
  facts.kind = *kind;
  if (facts.kind == FileKind::fat_binary) {
    auto code = read_fat_binary(source);
    if (!code) return std::unexpected(std::move(code).error());
    facts.gpu = std::move(*code);
  }
  if (facts.kind == FileKind::amd_bundle) facts.gpu.foreign.push_back(ForeignCode::amd);
  if (facts.kind != FileKind::elf) return facts;
  auto file = read_elf(source);
  if (!file) return std::unexpected(std::move(file).error());
  facts.elf = std::move(*file);
  if (auto read = read_symbols(source, facts); !read) return std::unexpected(std::move(read).error());
  auto code = read_gpu_code(source, *facts.elf);
  if (!code) return std::unexpected(std::move(code).error());
  facts.gpu = std::move(*code);
  return facts;
}

}  // namespace kernels::inspect
