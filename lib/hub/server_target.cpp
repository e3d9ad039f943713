#include "server_target.h"

#include <charconv>

namespace kernels::hub {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class Plus { literal, space };

std::optional<std::string> percent_decode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus == Plus::space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = hex_digit(text[i + 1]);
    int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

/// The path and query of an absolute URL, which a proxy may send.
std::string_view without_origin(std::string_view text) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    auto slash = text.find('/', scheme.size());
    return slash == std::string_view::npos ? "/" : text.substr(slash);
  }
  return text;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

std::string Target::tail(std::size_t first) const {
  std::string out;
  for (std::size_t i = first; i < segments.size(); ++i)
    out += (i == first ? "" : "/") + segments[i];
  return out;
}

std::string_view Target::value(std::string_view key) const {
  auto it = query.find(key);
  return it == query.end() ? std::string_view{} : it->second;
}

std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!text.empty()) {
    auto item = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    auto equals = std::min(item.find('='), item.size());
    auto key = percent_decode(item.substr(0, equals), Plus::space);
    auto value = percent_decode(item.substr(std::min(equals + 1, item.size())), Plus::space);
    if (!key || !value) return std::nullopt;
    if (!item.empty()) out.emplace_back(std::move(*key), std::move(*value));
  }
  return out;
}

std::optional<Target> parse_target(std::string_view text) {
  text = without_origin(text);
  if (!text.starts_with('/')) return std::nullopt;
  text = text.substr(0, text.find('#'));
  Target out;
  auto mark = text.find('?');
  if (mark != std::string_view::npos) {
    auto query = parse_form(text.substr(mark + 1));
    if (!query) return std::nullopt;
    for (auto& [key, value] : *query)
      out.query.insert_or_assign(std::move(key), std::move(value));
  }
  auto path = text.substr(1, mark == std::string_view::npos ? mark : mark - 1);
  for (std::size_t begin = 0; begin <= path.size();) {
    auto end = std::min(path.find('/', begin), path.size());
    auto segment = percent_decode(path.substr(begin, end - begin), Plus::literal);
    if (!segment) return std::nullopt;
    out.segments.push_back(std::move(*segment));
    begin = end + 1;
  }
  return out;
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 std::string_view("_.-~").find(c) != std::string_view::npos ||
                 keep.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

AskedRange parse_range(std::string_view header, std::uint64_t size) {
  constexpr AskedRange kWhole{};
  constexpr std::string_view kUnit = "bytes=";
  if (!header.starts_with(kUnit)) return kWhole;
  header.remove_prefix(kUnit.size());
  auto dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return kWhole;
  auto first = parse_number(header.substr(0, dash));
  auto last = parse_number(header.substr(dash + 1));
  constexpr AskedRange kNone{.kind = AskedRange::Kind::unsatisfiable};
  if (dash == 0) {  // the last N bytes
    if (!last) return kWhole;
    if (*last == 0 || size == 0) return kNone;
    auto length = std::min(*last, size);
    return {.kind = AskedRange::Kind::part, .first = size - length, .length = length};
  }
  bool open_ended = dash + 1 == header.size();
  if (!first || (!last && !open_ended) || (last && *last < *first)) return kWhole;
  if (*first >= size) return kNone;
  auto end = open_ended ? size - 1 : std::min(*last, size - 1);
  return {.kind = AskedRange::Kind::part, .first = *first, .length = end - *first + 1};
}

}  // namespace kernels::hub
