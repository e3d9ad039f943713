#include "kernels/inspect/module_names.h"

#include <algorithm>
#include <set>

#include "python_tokens.h"

namespace kernels::inspect {

namespace {

void add_once(std::vector<std::string>& names, std::string_view name) {
  if (std::ranges::find(names, name) == names.end()) names.emplace_back(name);
}

/// The content of a plain literal: one pair of quotes, no prefix and no escapes.
std::optional<std::string> plain_text(std::string_view literal) {
  if (literal.size() < 2 || (literal.front() != '"' && literal.front() != '\'') ||
      literal.back() != literal.front())
    return std::nullopt;
  auto text = literal.substr(1, literal.size() - 2);
  if (text.find_first_of("\\\"'\n") != std::string_view::npos) return std::nullopt;
  return std::string(text);
}

class ModuleReader {
 public:
  explicit ModuleReader(const PythonTokens& source) : source_(source) {}

  ModuleNames read() {
    for (at_ = 0; kind() != TokenKind::end; ++at_) {
      if (kind() == TokenKind::indent) ++depth_;
      if (kind() == TokenKind::dedent) --depth_;
      if (!begins_statement()) continue;
      if (text() == "import") import();
      if (text() == "from") from();
      if (depth_ == 0) define();
    }
    out_.modules.assign(modules_.begin(), modules_.end());
    return std::move(out_);
  }

 private:
  TokenKind kind(std::size_t ahead = 0) const {
    return at_ + ahead < source_.tokens.size() ? source_.tokens[at_ + ahead].kind : TokenKind::end;
  }
  std::string_view text(std::size_t ahead = 0) const {
    if (at_ + ahead >= source_.tokens.size()) return {};
    const auto& token = source_.tokens[at_ + ahead];
    return std::string_view(source_.text).substr(token.begin, token.length);
  }

  bool begins_statement() const {
    if (kind() != TokenKind::name) return false;
    if (at_ == 0) return true;
    auto before = source_.tokens[at_ - 1].kind;
    return before == TokenKind::newline || before == TokenKind::indent || before == TokenKind::dedent ||
           std::string_view(source_.text)
                   .substr(source_.tokens[at_ - 1].begin, source_.tokens[at_ - 1].length) == ";";
  }

  /// `import a.b, c as d`
  void import() {
    for (std::size_t i = 1; kind(i) == TokenKind::name; ++i) {
      modules_.emplace(text(i));
      while (kind(i) != TokenKind::newline && kind(i) != TokenKind::end && text(i) != ",")
        ++i;
      if (text(i) != ",") return;
    }
  }

  /// `from a.b import c`; those that begin with a dot are the package's own.
  void from() {
    if (kind(1) == TokenKind::name) modules_.emplace(text(1));
  }

  void define() {
    std::size_t word = text() == "async" ? 1 : 0;
    if (text(word) == "def" && kind(word + 1) == TokenKind::name) {
      if (!text(word + 1).starts_with('_')) add_once(out_.functions, text(word + 1));
    } else if (text() == "__all__" && text(1) == "=") {
      out_.all = list(2);
    } else if (text() == "__all__") {
      out_.all = std::nullopt;  // `+=`, or something else that the text does not tell
    }
  }

  std::optional<std::vector<std::string>> list(std::size_t first) const {
    auto close = text(first) == "[" ? "]" : text(first) == "(" ? ")" : "";
    if (*close == '\0') return std::nullopt;
    std::vector<std::string> out;
    for (auto i = first + 1; text(i) != close; ++i) {
      if (text(i) == ",") continue;
      auto name = kind(i) == TokenKind::string ? plain_text(text(i)) : std::nullopt;
      if (!name) return std::nullopt;
      out.push_back(std::move(*name));
    }
    return out;
  }

  const PythonTokens& source_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::set<std::string> modules_;
  ModuleNames out_;
};

}  // namespace

Result<ModuleNames> read_module_names(std::string_view python) {
  auto source = read_python_tokens(python);
  if (!source) return std::unexpected(std::move(source).error());
  return ModuleReader(*source).read();
}

}  // namespace kernels::inspect
