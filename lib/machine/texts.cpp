#include "texts.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include <nlohmann/json.hpp>

#include "kernels/base/utf8.h"

namespace kernels::machine {

namespace {

/// What `MajorMinor` reads.
constexpr std::uint32_t kLargestNumber = 1'000'000;
constexpr std::string_view kBlanks = " \t\r\n";

std::string_view trim(std::string_view text) {
  auto begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// Calls `use` with each line.
template <class Use>
void each_line(std::string_view text, const Use& use) {
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
}

/// Lines of a name and a value with a character between; the first of a name counts.
std::map<std::string, std::string> split_lines(std::string_view text, char between) {
  std::map<std::string, std::string> out;
  each_line(text, [&](std::string_view line) {
    auto cut = line.find(between);
    if (cut == std::string_view::npos) return;
    auto name = trim(line.substr(0, cut));
    if (!name.empty()) out.emplace(name, trim(line.substr(cut + 1)));
  });
  return out;
}

/// The numbers between the dots; nothing unless all are numbers that a version may have.
std::optional<std::vector<std::uint32_t>> dotted_numbers(std::string_view text) {
  std::vector<std::uint32_t> out;
  for (;;) {
    auto end = std::min(text.find('.'), text.size());
    std::uint32_t number = 0;
    auto [stop, code] = std::from_chars(text.data(), text.data() + end, number);
    bool whole = code == std::errc() && stop == text.data() + end && end != 0;
    if (!whole || number > kLargestNumber) return std::nullopt;
    out.push_back(number);
    if (end == text.size()) return out;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  text = trim(text);
  int base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::string> find_dotted(std::string_view text) {
  while (!text.empty()) {
    auto begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return std::nullopt;
    text.remove_prefix(begin);
    auto word = text.substr(0, std::min(text.find_first_of(kBlanks), text.size()));
    auto numbers = word.size() <= 32 ? dotted_numbers(word) : std::nullopt;
    if (numbers && numbers->size() >= 2) return std::string(word);
    text.remove_prefix(word.size());
  }
  return std::nullopt;
}

std::map<std::string, std::string> parse_os_release(std::string_view text) {
  auto out = split_lines(text, '=');
  for (auto& [name, value] : out) {
    bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'');
    if (quoted && value.back() == value.front()) value = value.substr(1, value.size() - 2);
  }
  return out;
}

std::map<std::string, std::string> parse_pyvenv_cfg(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : split_lines(text, '=')) {
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    out.emplace(std::move(lower), value);
  }
  return out;
}

std::map<std::string, std::string> parse_colon_lines(std::string_view text) {
  return split_lines(text, ':');
}

std::map<std::string, std::uint64_t> parse_kfd_properties(std::string_view text) {
  std::map<std::string, std::uint64_t> out;
  each_line(text, [&](std::string_view line) {
    line = trim(line);
    auto cut = line.find(' ');
    if (cut == std::string_view::npos) return;
    if (auto number = parse_number(line.substr(cut))) out.emplace(line.substr(0, cut), *number);
  });
  return out;
}

std::vector<std::string> parse_string_list(std::string_view bytes) {
  std::vector<std::string> out;
  while (!bytes.empty()) {
    auto end = std::min(bytes.find('\0'), bytes.size());
    if (end > 0) out.emplace_back(trim(bytes.substr(0, end)));
    bytes.remove_prefix(std::min(bytes.size(), end + 1));
  }
  return out;
}

std::optional<std::string> parse_driver_version(std::string_view text) {
  std::optional<std::string> out;
  each_line(text, [&](std::string_view line) {
    if (!out && line.starts_with("NVRM version:")) out = find_dotted(line.substr(13));
  });
  return out;
}

std::optional<std::string> parse_tegra_release(std::string_view text) {
  auto line = text.substr(0, text.find('\n'));
  auto r = line.find('R');
  auto revision = line.find("REVISION:");
  if (r == std::string_view::npos || revision == std::string_view::npos || revision < r) return std::nullopt;
  auto major = line.substr(r + 1, line.find_first_not_of("0123456789", r + 1) - r - 1);
  auto rest = trim(line.substr(revision + 9));
  auto minor = rest.substr(0, std::min(rest.find_first_not_of("0123456789."), rest.size()));
  auto joined = std::string(major) + "." + std::string(minor);
  if (joined.size() > 32 || !dotted_numbers(joined)) return std::nullopt;
  return joined;
}

std::optional<std::string> plist_string(std::string_view text, std::string_view name) {
  auto key = text.find("<key>" + std::string(name) + "</key>");
  if (key == std::string_view::npos) return std::nullopt;
  auto begin = text.find("<string>", key);
  if (begin == std::string_view::npos || text.find("<key>", key + 5) < begin) return std::nullopt;
  begin += 8;
  auto end = text.find("</string>", begin);
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(trim(text.substr(begin, end - begin)));
}

CudaVersions parse_cuda_version_json(std::string_view text) {
  using Json = nlohmann::json;
  CudaVersions out;
  auto json = Json::parse(text, nullptr, false);
  auto version_of = [&](const char* part) -> std::optional<std::string> {
    if (!json.is_object() || !json.contains(part)) return std::nullopt;
    const auto& entry = json[part];
    if (!entry.is_object() || !entry.contains("version") || !entry["version"].is_string())
      return std::nullopt;
    return find_dotted(entry["version"].get<std::string>());
  };
  out.toolkit = version_of("cuda");
  out.runtime = version_of("cuda_cudart");
  return out;
}

std::optional<bool> cxx11_abi_flag(std::string_view text) {
  constexpr std::string_view kFlag = "_GLIBCXX_USE_CXX11_ABI=";
  auto at = text.find(kFlag);
  if (at == std::string_view::npos || at + kFlag.size() >= text.size()) return std::nullopt;
  char value = text[at + kFlag.size()];
  if (value != '0' && value != '1') return std::nullopt;
  return value == '1';
}

/// Nothing for 0, which processors have, and for numbers that no GPU has.
static std::optional<std::array<std::uint64_t, 3>> gfx_parts(std::uint64_t version) {
  std::array<std::uint64_t, 3> parts = {version / 10'000, version / 100 % 100, version % 100};
  if (parts[0] == 0 || parts[0] > 99 || parts[1] > 15 || parts[2] > 15) return std::nullopt;
  return parts;
}

std::optional<std::string> gfx_name(std::uint64_t gfx_target_version) {
  auto parts = gfx_parts(gfx_target_version);
  if (!parts) return std::nullopt;
  constexpr std::string_view kHex = "0123456789abcdef";
  return "gfx" + std::to_string((*parts)[0]) + kHex[(*parts)[1]] + kHex[(*parts)[2]];
}

std::optional<MajorMinor> gfx_capability(std::uint64_t gfx_target_version) {
  auto parts = gfx_parts(gfx_target_version);
  if (!parts) return std::nullopt;
  return MajorMinor{.major = static_cast<std::uint32_t>((*parts)[0]),
                    .minor = static_cast<std::uint32_t>((*parts)[1])};
}

std::optional<std::string> newest_version(const std::vector<std::string>& names, std::string_view prefix) {
  std::optional<std::vector<std::uint32_t>> best;
  std::optional<std::string> out;
  for (const auto& name : names) {
    if (!name.starts_with(prefix)) continue;
    auto rest = name.substr(prefix.size());
    auto numbers = dotted_numbers(rest);
    if (!numbers || (best && *best >= *numbers)) continue;
    best = std::move(numbers);
    out = std::move(rest);
  }
  return out;
}

std::optional<PythonName> parse_python_name(std::string_view name) {
  if (!name.starts_with("python")) return std::nullopt;
  name.remove_prefix(6);
  PythonName out;
  out.free_threaded = name.ends_with('t');
  if (out.free_threaded) name.remove_suffix(1);
  auto numbers = dotted_numbers(name);
  if (!numbers || numbers->size() != 2) return std::nullopt;
  out.version = {.major = (*numbers)[0], .minor = (*numbers)[1]};
  return out;
}

std::string shown(std::string_view text) {
  std::string out(trim(text.substr(0, 200)));
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  if (!is_utf8(out)) std::ranges::replace_if(out, [](unsigned char c) { return c >= 0x80; }, '?');
  return out;
}

}  // namespace kernels::machine
