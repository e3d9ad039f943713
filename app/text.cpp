#include "text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <ranges>

#include "kernels/base/joined.h"

namespace kernels::app {

static std::string one_decimal(double value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.1f", value);
  return buffer.data();
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit)
    value /= 1024;
  return one_decimal(value) + " " + kUnits[unit];
}

std::string human_duration(std::chrono::milliseconds time) {
  auto ms = time.count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 60'000) return one_decimal(static_cast<double>(ms) / 1000) + " s";
  return std::to_string(ms / 60'000) + " min " + std::to_string(ms / 1000 % 60) + " s";
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string plain(std::string_view text) {
  std::string out(text);
  auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  std::ranges::replace_if(out, is_control, '?');
  return out;
}

std::string plain_words(const std::vector<std::string>& words, std::string_view between) {
  return joined(words | std::views::transform(plain), between);
}

std::size_t display_width(std::string_view text) {
  auto is_start = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  return static_cast<std::size_t>(std::ranges::count_if(text, is_start));
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - display_width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

/// How many bytes of the text make a line of `width` characters or fewer, the blank that ends it included.
static std::size_t line_end(std::string_view text, std::size_t width) {
  std::size_t limit = 0;
  for (std::size_t shown = 0; limit < text.size(); ++limit)
    if (display_width(text.substr(limit, 1)) == 1 && ++shown > width) break;
  if (limit == text.size()) return limit;
  if (auto blank = text.substr(0, limit + 1).rfind(' '); blank != std::string_view::npos && blank > 0)
    return blank + 1;
  if (auto mark = text.substr(0, limit).find_last_of("/|,="); mark != std::string_view::npos) return mark + 1;
  return limit;
}

static std::vector<std::string> lines_of(std::string_view cell, std::size_t width) {
  std::vector<std::string> lines;
  do {
    auto line = cell.substr(0, cell.find('\n'));
    auto end = line_end(line, std::max<std::size_t>(width, 1));  // a cell of one blank is no column wide
    lines.emplace_back(line.substr(0, end));
    if (lines.back().ends_with(' ')) lines.back().pop_back();
    if (end == line.size() && end < cell.size()) ++end;  // the line break itself
    cell.remove_prefix(end);
  } while (!cell.empty());
  return lines;
}

static std::vector<std::size_t> widths_within(std::size_t columns,
                                              const std::vector<std::vector<std::string>>& rows) {
  constexpr std::size_t kNarrowest = 8;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      for (const auto& line : lines_of(row[i], std::string::npos))
        widths[i] = std::max(widths[i], std::min(display_width(line), columns));  // none can stay wider
  }
  auto total = [&] { return std::accumulate(widths.begin(), widths.end(), 2 * (widths.size() - 1)); };
  while (!widths.empty() && total() > columns) {
    auto widest = std::ranges::max_element(widths);
    if (*widest <= kNarrowest) break;
    --*widest;
  }
  return widths;
}

std::string table_within(std::size_t columns, const std::vector<std::vector<std::string>>& rows) {
  auto widths = widths_within(columns, rows);
  std::vector<std::vector<std::string>> lines;
  for (const auto& row : rows) {
    auto first = lines.size();
    for (std::size_t column = 0; column < row.size(); ++column) {
      auto cell = lines_of(row[column], widths[column]);
      if (lines.size() < first + cell.size())
        lines.resize(first + cell.size(), std::vector<std::string>(row.size()));
      for (std::size_t i = 0; i < cell.size(); ++i)
        lines[first + i][column] = cell[i];
    }
  }
  return table(lines);
}

}  // namespace kernels::app
