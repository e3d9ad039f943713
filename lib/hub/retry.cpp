#include "kernels/hub/retry.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace kernels::hub {

bool is_transient(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static std::string_view trim(std::string_view text) {
  auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

static std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = code == std::errc() && end == text.data() + text.size() && value < 1'000'000'000;
  if (!whole) return std::nullopt;
  return value;
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text) {
  auto seconds = whole_number(trim(text));
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

/// Cuts the next piece off, up to a separator outside of quotes and angle brackets.
static std::string_view next_piece(std::string_view& rest, char separator) {
  bool quoted = false;
  bool bracketed = false;
  std::size_t end = 0;
  for (; end < rest.size(); ++end) {
    char c = rest[end];
    if (c == '"') quoted = !quoted;
    if (!quoted && c == '<') bracketed = true;
    if (!quoted && c == '>') bracketed = false;
    if (c == separator && !quoted && !bracketed) break;
  }
  auto piece = trim(rest.substr(0, end));
  rest.remove_prefix(std::min(rest.size(), end + 1));
  return piece;
}

std::optional<RateLimit> parse_rate_limit(std::string_view text) {
  auto name = next_piece(text, ';');
  if (name.size() < 3 || !name.starts_with('"') || !name.ends_with('"')) return std::nullopt;
  std::optional<std::uint64_t> remaining;
  std::optional<std::uint64_t> reset;
  while (!text.empty()) {
    auto parameter = next_piece(text, ';');
    auto equals = parameter.find('=');
    if (equals == std::string_view::npos) continue;
    auto key = trim(parameter.substr(0, equals));
    auto value = whole_number(trim(parameter.substr(equals + 1)));
    if (key == "r") remaining = value;
    if (key == "t") reset = value;
  }
  if (!remaining || !reset) return std::nullopt;
  return RateLimit{.remaining = *remaining, .reset = std::chrono::seconds(*reset)};
}

std::optional<std::chrono::milliseconds> retry_delay(int n, const std::optional<ResponseHead>& head,
                                                     std::chrono::seconds longest) {
  static constexpr std::array<int, 5> kSchedule = {1, 2, 4, 8, 8};
  auto step = static_cast<std::size_t>(std::clamp(n - 1, 0, 4));
  std::chrono::seconds delay(kSchedule[step]);
  if (head) {
    auto limit = parse_rate_limit(head->header("ratelimit").value_or(""));
    auto after = parse_retry_after(head->header("retry-after").value_or("-"));
    if (head->status == 429 && limit && limit->remaining == 0)
      delay = limit->reset + std::chrono::seconds(1);
    else if (after)
      delay = *after + std::chrono::seconds(1);
  }
  if (delay > longest) return std::nullopt;
  return delay;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  ContentRange out;
  const char* at = text.data() + 6;
  const char* end = text.data() + text.size();
  auto number = [&](std::uint64_t& value, char after) {
    auto [rest, code] = std::from_chars(at, end, value);
    bool good = code == std::errc() && (after == '\0' ? rest == end : rest != end && *rest == after);
    at = rest + (good && after != '\0' ? 1 : 0);
    return good;
  };
  if (!number(out.first, '-') || !number(out.last, '/') || !number(out.total, '\0')) return std::nullopt;
  return out;
}

std::optional<std::string> next_link(std::string_view header) {
  while (!header.empty()) {
    auto link = next_piece(header, ',');
    auto target = next_piece(link, ';');
    if (!target.starts_with('<') || !target.ends_with('>')) continue;
    while (!link.empty()) {
      auto parameter = next_piece(link, ';');
      if (parameter == "rel=next" || parameter == "rel=\"next\"")
        return std::string(target.substr(1, target.size() - 2));
    }
  }
  return std::nullopt;
}

}  // namespace kernels::hub
