#include "markup.h"

#include "kernels/base/utf8.h"

namespace kernels::app {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::size_t length_by_first(unsigned char first) {
  return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/// Of one character of well-formed UTF-8.
std::uint32_t code_point(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (character.size() == 1) return first;
  std::uint32_t out = first & (0xFFU >> (character.size() + 1));
  for (char next : character.substr(1))
    out = out << 6U | (static_cast<unsigned char>(next) & 0x3FU);
  return out;
}

bool is_within(std::uint32_t code, std::uint32_t low, std::uint32_t high) {
  return low <= code && code <= high;
}

/// Controls but for tab and line breaks, marks of direction, separators of lines, what is no character.
bool is_hidden(std::uint32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  return code < 0x20 || is_within(code, 0x7F, 0x9F) || code == 0x061C || is_within(code, 0x200B, 0x200F) ||
         is_within(code, 0x2028, 0x202E) || is_within(code, 0x2066, 0x2069) || code == 0xFEFF ||
         (code & 0xFFFEU) == 0xFFFE || is_within(code, 0xFDD0, 0xFDEF);
}

/// The text in characters that can be shown.
template <class Append>
void for_each_character(std::string_view text, Append append) {
  while (!text.empty()) {
    auto length = length_by_first(static_cast<unsigned char>(text.front()));
    auto character = text.substr(0, length);
    if (!is_utf8(character)) {
      length = 1;
      character = kReplacement;
    } else if (is_hidden(code_point(character))) {
      character = kReplacement;
    }
    append(character);
    text.remove_prefix(length);
  }
}

std::string entity(char c) {
  return "&#" + std::to_string(static_cast<unsigned char>(c)) + ";";
}

bool is_punctuation(char c) {
  return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 0x7F);
}

}  // namespace

std::string markdown_code(std::string_view text) {
  std::string line;
  for_each_character(text, [&](std::string_view character) {
    const bool is_blank = character == "\n" || character == "\r" || character == "\t";
    line += is_blank ? " " : character;
  });
  if (line.empty()) return {};
  // A code span says it plainly. Where the text has what ends a span or a cell, nothing stays as it is: what
  // renderers make of backslashes before bars differs.
  if (line.find_first_of("`|\\") == std::string::npos && line.find_first_not_of(' ') != std::string::npos)
    return "`" + line + "`";
  std::string out = "<code>";
  for (char c : line)
    out += is_punctuation(c) ? entity(c) : std::string(1, c);
  return out + "</code>";
}

std::string xml_text(std::string_view text) {
  std::string out;
  for_each_character(text, [&](std::string_view character) {
    const bool is_markup = character.find_first_of("<>&\"'\t\n\r") == 0;
    out += is_markup ? entity(character.front()) : std::string(character);
  });
  return out;
}

}  // namespace kernels::app
