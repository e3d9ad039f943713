#include "python_tokens.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "kernels/base/utf8.h"

namespace kernels::inspect {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Bytes outside ASCII count as letters; which of them Python accepts does not matter here.
bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_ascii_word(char c) {
  return is_digit(c) || (begins_name(c) && static_cast<unsigned char>(c) < 0x80);
}

bool continues_name(char c) {
  return begins_name(c) || is_digit(c);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string normalise(std::string_view python) {
  if (python.starts_with("\xEF\xBB\xBF")) python.remove_prefix(3);
  std::string out;
  out.reserve(python.size() + 1);
  for (std::size_t i = 0; i < python.size(); ++i) {
    if (python[i] != '\r') {
      out += python[i];
      continue;
    }
    out += '\n';
    if (i + 1 < python.size() && python[i + 1] == '\n') ++i;
  }
  return out;
}

/// The encoding that one of the first two lines declares (PEP 263), in lower case; empty if none does. A
/// second line counts behind a comment or an empty line only.
std::string declared_encoding(std::string_view text) {
  for (int line = 0; line < 2 && !text.empty(); ++line) {
    auto end = std::min(text.find('\n'), text.size());
    auto comment = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    auto hash = comment.find_first_not_of(" \t\f");
    if (hash == std::string_view::npos) continue;
    if (comment[hash] != '#') break;
    for (auto at = comment.find("coding"); at != std::string_view::npos;
         at = comment.find("coding", at + 1)) {
      auto rest = comment.substr(at + 6);
      if (rest.empty() || (rest[0] != ':' && rest[0] != '=')) continue;
      auto begin = std::min(rest.find_first_not_of(" \t", 1), rest.size());
      std::string name;
      for (char c : rest.substr(begin)) {
        if (!is_ascii_word(c) && c != '-' && c != '.') break;
        name += lower(c);
      }
      if (!name.empty()) return name;
    }
  }
  return {};
}

/// As Python looks encodings up: what is no letter, digit or full stop parts words and is gone at both ends.
std::string plain_encoding(std::string_view name) {
  std::string out;
  bool is_apart = false;
  for (char c : name) {
    if (c == '-' || c == '_') {
      is_apart = true;
      continue;
    }
    if (is_apart && !out.empty()) out += '_';
    is_apart = false;
    out += c;
  }
  return out;
}

/// Whether it is this name or, as Emacs has it, followed by a dash and how lines end.
bool is_or_begins(std::string_view declared, std::string_view name) {
  std::string dashed(declared);
  std::ranges::replace(dashed, '_', '-');
  return dashed == name || dashed.starts_with(std::string(name) + "-");
}

/// Whether Python reads the same text by this name as by UTF-8. Names: what its tokeniser knows by itself,
/// and `encodings.aliases`.
bool reads_as_utf8(std::string_view declared, bool is_ascii) {
  static constexpr std::array<std::string_view, 3> latin = {"latin-1", "iso-8859-1", "iso-latin-1"};
  static constexpr std::array<std::string_view, 7> utf8 = {"utf_8",     "utf8",      "utf",    "u8",
                                                           "utf8_ucs2", "utf8_ucs4", "cp65001"};
  static constexpr std::array<std::string_view, 16> like_ascii = {
      "ascii", "us_ascii", "us",    "646",       "latin_1",    "latin1", "latin",        "l1",
      "8859",  "iso8859",  "cp819", "iso8859_1", "iso_8859_1", "cp1252", "windows_1252", "1252"};
  const auto name = plain_encoding(declared);
  const auto is_in = [&](const auto& names) { return std::ranges::find(names, name) != names.end(); };
  const auto begins = [&](std::string_view known) { return is_or_begins(declared, known); };
  return name.empty() || is_in(utf8) || begins("utf-8") ||
         (is_ascii && (is_in(like_ascii) || std::ranges::any_of(latin, begins)));
}

bool is_string_prefix(std::string_view word) {
  static constexpr std::array<std::string_view, 11> prefixes = {"r",  "u",  "b", "br", "rb", "f",
                                                                "fr", "rf", "t", "tr", "rt"};
  std::string small;
  for (char c : word.substr(0, 3))
    small += lower(c);
  return word.size() <= 2 && std::ranges::find(prefixes, small) != prefixes.end();
}

/// Where strings end. Nested replacement fields of f-strings may hold any expression, strings included.
class StringReader {
 public:
  StringReader(std::string_view text, std::size_t at) : text_(text), at_(at) {}

  /// `at` is the opening quote. The offset behind the closing one; npos if there is none.
  std::size_t read(std::string_view prefix, std::size_t depth = 0) {
    char outer = std::exchange(quote_, text_[at_]);
    char quote = quote_;
    bool triple = text_.substr(at_, 3) == std::string(3, quote);
    bool raw = prefix.find_first_of("rR") != std::string_view::npos;
    bool fields = prefix.find_first_of("fFtT") != std::string_view::npos;
    at_ += triple ? 3 : 1;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == quote && (!triple || text_.substr(at_, 3) == std::string(3, quote))) {
        quote_ = outer;
        return at_ += triple ? 3 : 1;
      }
      if (c == '\n' && !triple) return std::string_view::npos;
      if (c == '\\')
        escape(fields, raw);
      else if (fields && (c == '{' || c == '}') && text_.substr(at_ + 1).starts_with(c))
        at_ += 2;
      else if (fields && c == '{' && !field(depth + 1))
        return std::string_view::npos;
      else if (c != '{' || !fields)
        ++at_;
    }
    return std::string_view::npos;
  }

 private:
  /// A backslash hides the next character, in raw strings too; but not a brace of an f-string, unless it is
  /// that of `\N{NAME}`.
  void escape(bool fields, bool raw) {
    char next = at_ + 1 < text_.size() ? text_[at_ + 1] : ' ';
    if (fields && (next == '{' || next == '}')) {
      ++at_;
    } else if (fields && !raw && next == 'N' && text_.substr(at_ + 2).starts_with("{")) {
      at_ = std::min(text_.find_first_of("}\n\"'", at_ + 3), text_.size());
      if (at_ < text_.size() && text_[at_] == '}') ++at_;
    } else {
      at_ = std::min(at_ + 2, text_.size());
    }
  }

  /// From `{` to behind the matching `}`.
  bool field(std::size_t depth) {
    if (depth > kMaxNesting) return false;
    ++at_;
    std::size_t brackets = 0;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '}' && brackets == 0) return ++at_, true;
      if (c == ':' && brackets == 0) return format(depth);
      if (std::string_view("([{").find(c) != std::string_view::npos) ++brackets;
      if (std::string_view(")]}").find(c) != std::string_view::npos && brackets-- == 0) return false;
      if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (begins_name(c) || c == '"' || c == '\'') {
        if (!word_or_string(depth)) return false;
      } else
        ++at_;
    }
    return false;
  }

  bool word_or_string(std::size_t depth) {
    auto begin = at_;
    while (at_ < text_.size() && continues_name(text_[at_]))
      ++at_;
    if (at_ == text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return true;
    auto word = text_.substr(begin, at_ - begin);
    auto prefix = is_string_prefix(word) ? word : std::string_view();
    // Bounded recursion: each level takes at least one of the levels that fields may have.
    return depth < kMaxNesting && read(prefix, depth + 1) != std::string_view::npos;
  }

  /// The format behind `:`, which may hold fields; `{{` is no escape here.
  bool format(std::size_t depth) {
    ++at_;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '}') return ++at_, true;
      if (c == '{') {
        if (!field(depth + 1)) return false;
      } else if (c == '\n' || c == quote_) {
        return false;  // the enclosing quote or a line end inside a format: versions disagree about them
      } else {
        ++at_;
      }
    }
    return false;
  }

  std::string_view text_;
  std::size_t at_;
  char quote_ = '"';
};

/// The operators of more than one character, longest first.
constexpr std::array<std::string_view, 25> kOperators = {
    "**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "<=", ">=", "==", "!=",
    "->",  "+=",  "-=",  "*=",  "/=",  "%=", "&=", "|=", "^=", "@=", ":=", "<>"};

class Tokeniser {
 public:
  explicit Tokeniser(std::string text) { out_.text = std::move(text); }

  Result<PythonTokens> run() {
    while (!flaw_ && at_ < text().size()) {
      if (at_line_begin_ && brackets_.empty() && !begin_line()) continue;
      token();
    }
    if (!flaw_) finish();
    if (flaw_) return fail(std::move(*flaw_));
    return std::move(out_);
  }

 private:
  std::string_view text() const { return out_.text; }
  char peek(std::size_t ahead) const { return at_ + ahead < text().size() ? text()[at_ + ahead] : '\0'; }

  void complain(Errc code, const std::string& what) {
    if (!flaw_) flaw_ = Error(code, "line " + std::to_string(line_of(text(), at_)) + ": " + what);
  }
  void add(TokenKind kind, std::size_t length) {
    out_.tokens.push_back({.kind = kind,
                           .begin = static_cast<std::uint32_t>(at_),
                           .length = static_cast<std::uint32_t>(length)});
    at_ += length;
  }

  struct Column {
    std::size_t tabs_to_eight = 0;
    std::size_t tabs_as_one = 0;
    bool operator==(const Column&) const = default;
  };

  /// The blanks at the beginning of a line. False: the line holds no code, and was skipped.
  bool begin_line() {
    Column column;
    for (; std::string_view(" \t\f").find(peek(0)) != std::string_view::npos && at_ < text().size(); ++at_) {
      if (peek(0) == '\f')
        column = {};
      else
        column = {
            .tabs_to_eight = peek(0) == '\t' ? (column.tabs_to_eight / 8 + 1) * 8 : column.tabs_to_eight + 1,
            .tabs_as_one = column.tabs_as_one + 1};
    }
    if (at_ == text().size()) return false;
    if (peek(0) == '#' || peek(0) == '\n') {
      at_ = std::min(text().find('\n', at_), text().size());
      if (at_ < text().size()) ++at_;
      return false;
    }
    // What the indentation of a line is that begins with a continuation has changed between versions.
    if (peek(0) == '\\') complain(Errc::corrupt, "a line begins with a backslash");
    at_line_begin_ = false;
    indent(column);
    return !flaw_;
  }

  /// Two ways to count tabs must agree about more, less and equal, as Python demands.
  void indent(const Column& column) {
    auto current = indents_.back();
    bool deeper = column.tabs_to_eight > current.tabs_to_eight;
    if (deeper != (column.tabs_as_one > current.tabs_as_one))
      return complain(Errc::corrupt, "tabs and spaces are mixed");
    if (deeper) {
      if (indents_.size() > kMaxNesting) return complain(Errc::unsupported, "nested too deep");
      indents_.push_back(column);
      return add(TokenKind::indent, 0);
    }
    while (column.tabs_to_eight < indents_.back().tabs_to_eight) {
      indents_.pop_back();
      add(TokenKind::dedent, 0);
    }
    if (column != indents_.back()) complain(Errc::corrupt, "the indentation fits no block");
  }

  void token() {
    char c = peek(0);
    if (c == '\n') {
      line_end();
    } else if (c == ' ' || c == '\t' || c == '\f') {
      ++at_;
    } else if (c == '#') {
      at_ = std::min(text().find('\n', at_), text().size());
    } else if (c == '\\') {
      if (peek(1) != '\n' || at_ + 2 >= text().size())
        return complain(Errc::corrupt, "a backslash that does not continue a line");
      at_ += 2;
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      number();
    } else if (c == '"' || c == '\'') {
      string({});
    } else if (begins_name(c)) {
      name();
    } else {
      op(c);
    }
  }

  void line_end() {
    if (!brackets_.empty()) {
      ++at_;
      return;
    }
    add(TokenKind::newline, 1);
    at_line_begin_ = true;
  }

  /// Generous: `1if x` is one number here. No reader of these tokens looks into expressions that closely.
  void number() {
    bool hexadecimal = peek(0) == '0' && lower(peek(1)) == 'x';
    std::size_t length = 1;
    for (;; ++length) {
      char c = peek(length);
      bool sign = (c == '+' || c == '-') && !hexadecimal && lower(peek(length - 1)) == 'e';
      if (!continues_name(c) && c != '.' && !sign) break;
    }
    add(TokenKind::number, length);
  }

  void name() {
    std::size_t length = 1;
    while (continues_name(peek(length)))
      ++length;
    char next = peek(length);
    auto word = text().substr(at_, length);
    if ((next == '"' || next == '\'') && is_string_prefix(word)) return string(word);
    add(TokenKind::name, length);
  }

  void string(std::string_view prefix) {
    auto end = StringReader(text(), at_ + prefix.size()).read(prefix);
    if (end == std::string_view::npos)
      return complain(Errc::corrupt, "a string that is not closed, or is nested too deep");
    add(TokenKind::string, end - at_);
  }

  void op(char c) {
    for (auto candidate : kOperators)
      if (text().substr(at_).starts_with(candidate)) return add(TokenKind::op, candidate.size());
    static constexpr std::string_view kOpening = "([{";
    static constexpr std::string_view kClosing = ")]}";
    if (kOpening.find(c) != std::string_view::npos) {
      if (brackets_.size() >= kMaxNesting) return complain(Errc::unsupported, "nested too deep");
      brackets_ += c;
      bracket_places_.push_back(at_);
    } else if (auto kind = kClosing.find(c); kind != std::string_view::npos) {
      if (brackets_.empty() || brackets_.back() != kOpening[kind])
        return complain(Errc::corrupt, std::string("`") + c + "` closes nothing");
      brackets_.pop_back();
      bracket_places_.pop_back();
    } else if (std::string_view("+-*/%@&|^~<>,:;.=").find(c) == std::string_view::npos) {
      return complain(Errc::corrupt, "a character that is not Python");
    }
    add(TokenKind::op, 1);
  }

  void finish() {
    if (!brackets_.empty()) {
      at_ = bracket_places_.back();
      return complain(Errc::corrupt, "a bracket is not closed");
    }
    if (!out_.tokens.empty() && !at_line_begin_) add(TokenKind::newline, 0);
    for (; indents_.size() > 1; indents_.pop_back())
      add(TokenKind::dedent, 0);
    add(TokenKind::end, 0);
  }

  PythonTokens out_;
  std::size_t at_ = 0;
  bool at_line_begin_ = true;
  std::string brackets_;
  std::vector<std::size_t> bracket_places_;
  std::vector<Column> indents_ = {Column{}};
  std::optional<Error> flaw_;
};

}  // namespace

std::size_t line_of(std::string_view text, std::size_t offset) {
  return static_cast<std::size_t>(std::ranges::count(text.substr(0, offset), '\n')) + 1;
}

Result<PythonTokens> read_python_tokens(std::string_view python) {
  if (python.size() > kMaxPythonText)
    return fail(Errc::unsupported, "the text is longer than " + std::to_string(kMaxPythonText) + " bytes");
  if (python.find('\0') != std::string_view::npos) return fail(Errc::corrupt, "the text holds a zero byte");
  if (!is_utf8(python)) return fail(Errc::corrupt, "the text is not UTF-8");
  auto text = normalise(python);
  auto encoding = declared_encoding(text);
  const bool is_ascii =
      std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!reads_as_utf8(encoding, is_ascii))
    return fail(Errc::unsupported, "the text declares the encoding `" + encoding + "`");
  return Tokeniser(std::move(text)).run();
}

}  // namespace kernels::inspect
