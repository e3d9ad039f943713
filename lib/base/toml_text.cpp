#include "kernels/base/toml_text.h"

#include <algorithm>

namespace kernels {

namespace {

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

/// Walks over strings and comments without understanding anything else.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<TomlFlaw> scan() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark may begin a file
    while (at_ < text_.size() && !flawed_) {
      char c = text_[at_];
      if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if ((c == '"' || c == '\'') && may_begin_string())
        string(c);
      else
        plain();
    }
    if (!flawed_) return std::nullopt;
    auto before = text_.substr(0, at_);
    auto line_begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return TomlFlaw{.line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1,
                    .column = at_ - line_begin + 1,
                    .text = "a character outside ASCII needs quotes around it"};
  }

 private:
  /// A quote begins a string only where a key or value may begin; after a word or number the parser reads on
  /// to the end of the word. After a dot it does in `a."b"`, not in `1."`.
  bool may_begin_string() const {
    if (at_ == 0 || text_.substr(0, at_) == "\xEF\xBB\xBF") return true;
    char before = text_[at_ - 1];
    if (before == '.') return at_ >= 2 && (text_[at_ - 2] < '0' || text_[at_ - 2] > '9');
    return std::string_view(" \t\r\n=[{,").find(before) != std::string_view::npos;
  }

  /// One byte that must be ASCII.
  void plain() {
    if (at_ < text_.size() && !is_ascii(text_[at_]))
      flawed_ = true;
    else
      ++at_;
  }

  void string(char quote) {
    std::string three(3, quote);
    bool multi_line = text_.substr(at_).starts_with(three);
    std::string_view end = std::string_view(three).substr(0, multi_line ? 3 : 1);
    at_ += end.size();
    while (at_ < text_.size() && !flawed_ && !text_.substr(at_).starts_with(end)) {
      if (text_[at_] == '\n' && !multi_line) return;  // a string that is not closed; the parser will say so
      if (text_[at_] == '\\' && quote == '"')
        escape();
      else
        ++at_;
    }
    if (!flawed_) close(quote, end.size());
  }

  /// The closing quotes. Up to two more may stand before those of a multi-line string and belong to its
  /// content.
  void close(char quote, std::size_t length) {
    at_ = std::min(text_.size(), at_ + length);
    for (int extra = 0; length == 3 && extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra)
      ++at_;
  }

  /// A backslash, with the blanks and line ends that it swallows at the end of a line.
  void escape() {
    ++at_;
    auto next = text_.find_first_not_of(" \t\r\n", at_);
    if (next == at_) return plain();
    at_ = std::min(next, text_.size());
    if (at_ < text_.size()) flawed_ = !is_ascii(text_[at_]);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool flawed_ = false;
};

}  // namespace

std::optional<TomlFlaw> find_non_ascii(std::string_view text) {
  auto found = std::ranges::find_if_not(text, is_ascii);
  if (found == text.end()) return std::nullopt;
  auto before = text.substr(0, static_cast<std::size_t>(found - text.begin()));
  auto newline = before.rfind('\n');
  auto line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  return TomlFlaw{.line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1,
                  .column = before.size() - line_begin + 1,
                  .text = "characters outside ASCII are not allowed here"};
}

std::optional<TomlFlaw> find_toml_flaw(std::string_view text) {
  return Scanner(text).scan();
}

}  // namespace kernels
