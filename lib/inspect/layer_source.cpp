// A reader of statements. It knows which statements bind names at the top level and in class bodies, and
// skips everything else by its tokens: function bodies, nested classes, expressions.
//
// What it must not do is claim too much. So each way of binding that is not looked into (a loop's target, a
// tuple, a walrus in an expression, a pattern of `match`) binds "in another way", and a condition turns the
// claims about a class body's names into "does not tell".

#include "kernels/inspect/layer_source.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <utility>

#include "python_tokens.h"

namespace kernels::inspect {

namespace {

constexpr std::size_t kMaxClasses = 10'000;
constexpr std::size_t kMaxParameters = 255;

using Tokens = std::span<const Token>;

bool is_plain_ascii(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Where a statement binds its names.
struct Scope {
  std::optional<std::size_t> class_index;  // none: the module
  bool conditional = false;
  bool matching = false;  // directly below a `match`
};

enum class Value { other, literal_true, literal_false, literal_none };

class SourceReader {
 public:
  explicit SourceReader(const PythonTokens& python) : text_(python.text), tokens_(python.tokens) {}

  Result<LayerSource> run() {
    note_names();
    while (!flaw_ && peek().kind != TokenKind::end)
      statement({});
    for (auto& item : out_.classes)
      if (changed_later_.contains(item.name)) item.certain = false;
    if (flaw_) return fail(std::move(*flaw_));
    return std::move(out_);
  }

 private:
  // --- tokens ---

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  std::string_view word(const Token& token) const { return text_.substr(token.begin, token.length); }
  bool is(const Token& token, std::string_view expected) const {
    return (token.kind == TokenKind::name || token.kind == TokenKind::op) && word(token) == expected;
  }
  bool is_one_of(const Token& token, std::initializer_list<std::string_view> words) const {
    return std::ranges::any_of(words, [&](auto expected) { return is(token, expected); });
  }
  static bool is_name(const Token& token) { return token.kind == TokenKind::name; }

  void complain(Errc code, const std::string& what) {
    if (!flaw_) flaw_ = Error(code, "line " + std::to_string(line_of(text_, peek().begin)) + ": " + what);
  }

  /// Calls `visit(token index)` for each token outside of brackets until it returns false.
  template <class Visit>
  void outside_brackets(Tokens tokens, Visit visit) const {
    std::size_t depth = 0;
    std::size_t lambdas = 0;  // a lambda's parameters and colon belong to it
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const Token& token = tokens[i];
      bool closes = is_one_of(token, {")", "]", "}"});
      if (closes) --depth;
      if (depth == 0 && is(token, "lambda"))
        ++lambdas;
      else if (depth == 0 && lambdas > 0 && is(token, ":"))
        --lambdas;
      else if (depth == 0 && lambdas == 0 && !visit(i))
        return;
      if (is_one_of(token, {"(", "[", "{"})) ++depth;
    }
  }

  std::optional<std::size_t> find_outside(Tokens tokens, std::string_view what) const {
    std::optional<std::size_t> found;
    outside_brackets(tokens, [&](std::size_t i) {
      if (is(tokens[i], what)) found = i;
      return !found;
    });
    return found;
  }

  std::vector<Tokens> split(Tokens tokens, std::string_view separator) const {
    std::vector<Tokens> out;
    std::size_t begin = 0;
    outside_brackets(tokens, [&](std::size_t i) {
      if (!is(tokens[i], separator)) return true;
      out.push_back(tokens.subspan(begin, i - begin));
      begin = i + 1;
      return true;
    });
    out.push_back(tokens.subspan(begin));
    return out;
  }

  /// The bracket that closes the one at `open`.
  std::size_t closing(Tokens tokens, std::size_t open) const {
    std::size_t depth = 0;
    for (std::size_t i = open; i < tokens.size(); ++i) {
      if (is_one_of(tokens[i], {"(", "[", "{"})) ++depth;
      if (is_one_of(tokens[i], {")", "]", "}"}) && --depth == 0) return i;
    }
    return tokens.size() - 1;
  }

  /// The tokens up to the end of the logical line, which is not taken.
  Tokens rest_of_line() const {
    std::size_t end = at_;
    while (tokens_[end].kind != TokenKind::newline && tokens_[end].kind != TokenKind::end)
      ++end;
    return Tokens(tokens_).subspan(at_, end - at_);
  }

  // --- what any place of the text can do to a top-level name ---

  /// One look at all tokens: functions can change what the top level made, when somebody calls them.
  void note_names() {
    static constexpr std::array<std::string_view, 8> kOpeners = {
        "globals", "exec", "eval", "vars", "locals", "setattr", "__dict__", "__getattr__"};
    Tokens tokens(tokens_);
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (!is_name(tokens[i])) continue;
      auto name = word(tokens[i]);
      if (std::ranges::find(kOpeners, name) != kOpeners.end()) out_.open = true;
      // `sys.modules[__name__]`, not the method of `torch.nn.Module`.
      if (name == "modules" && !is(tokens[i + 1], "(")) out_.open = true;
      if (name == "global") note_global(tokens.subspan(i + 1));
      bool changes = i >= 2 && is(tokens[i - 1], "(") && is_one_of(tokens[i - 2], {"setattr", "delattr"});
      if (changes || changes_attribute(i)) changed_later_.insert(std::string(name));
    }
  }

  void note_global(Tokens tokens) {
    for (const auto& token : tokens) {
      if (is_name(token))
        out_.assigned.emplace(word(token));
      else if (!is(token, ","))
        return;
    }
  }

  /// `Name.attribute = …`, `Name.attribute += …`, `Name.attribute: type = …`, `del Name.attribute`.
  bool changes_attribute(std::size_t i) const {
    Tokens tokens(tokens_);
    if (i > 0 && is(tokens[i - 1], ".")) return false;
    auto end = i + 1;
    while (end + 1 < tokens.size() && is(tokens[end], ".") && is_name(tokens[end + 1]))
      end += 2;
    if (end == i + 1) return false;
    bool begins = i == 0 || tokens[i - 1].kind == TokenKind::newline ||
                  tokens[i - 1].kind == TokenKind::indent || tokens[i - 1].kind == TokenKind::dedent ||
                  is_one_of(tokens[i - 1], {";", ":", "del"});
    return is_assignment(tokens[end]) || (begins && is_one_of(tokens[end], {":", ","})) ||
           (i > 0 && is_one_of(tokens[i - 1], {"del"}));
  }

  bool is_assignment(const Token& token) const {
    return token.kind == TokenKind::op && word(token).ends_with('=') &&
           !is_one_of(token, {"==", "!=", "<=", ">="});
  }

  // --- bindings ---

  LayerClass& class_of(const Scope& scope) { return out_.classes[*scope.class_index]; }

  void bind(std::string_view name, const Scope& scope, Value value) {
    if (!scope.class_index) {
      if (value == Value::literal_none)
        out_.set_to_none.emplace(name);
      else
        out_.assigned.emplace(name);
      note_spelling(name);
      return;
    }
    auto& target = class_of(scope);
    if (!is_plain_ascii(name)) target.certain = false;
    if (name == "has_backward" || name == "can_torch_compile") {
      auto& flag = name == "has_backward" ? target.has_backward : target.can_torch_compile;
      bool is_literal = value == Value::literal_true || value == Value::literal_false;
      flag = !is_literal || scope.conditional ? LayerFlag::unknown
             : value == Value::literal_true   ? LayerFlag::yes
                                              : LayerFlag::no;
      return;
    }
    if (name == "forward") {
      target.forward = ForwardText::unknown;
      target.parameters.clear();
      return;
    }
    if (name == "__init__") target.defines_init = true;
    if (name == "__init__" || !members_of_class_.emplace(name).second) return;
    target.members.emplace_back(name);
  }

  /// Python folds identifiers outside ASCII (NFKC): such a name may be that of any layer.
  void note_spelling(std::string_view name) {
    if (!is_plain_ascii(name)) out_.open = true;
  }

  /// Every name of a target, taken for bound: too many rather than too few.
  void bind_all(Tokens target, const Scope& scope) {
    for (std::size_t i = 0; i < target.size(); ++i)
      if (is_name(target[i]) && (i == 0 || !is(target[i - 1], "."))) {
        bind(word(target[i]), scope, Value::other);
        bool attribute = i + 1 < target.size() && is(target[i + 1], ".");
        if (attribute) changed_later_.emplace(word(target[i]));
      }
  }

  /// `name :=` binds in the scope around it, wherever in an expression it stands.
  void bind_walrus(Tokens expression, const Scope& scope) {
    for (std::size_t i = 1; i < expression.size(); ++i)
      if (is(expression[i], ":=") && is_name(expression[i - 1]))
        bind(word(expression[i - 1]), scope, Value::other);
  }

  // --- simple statements ---

  void simple_statements(Tokens line, const Scope& scope) {
    for (auto statement : split(line, ";"))
      if (!statement.empty()) simple_statement(statement, scope);
  }

  void simple_statement(Tokens statement, const Scope& scope) {
    const Token& first = statement.front();
    bind_walrus(statement, scope);
    if (scope.class_index && std::ranges::any_of(statement, [&](const Token& token) {
          return is_one_of(token, {"exec", "eval", "locals", "vars", "global", "nonlocal"});
        }))
      class_of(scope).certain = false;
    if (is(first, "import")) return import(statement.subspan(1), scope);
    if (is(first, "from")) return import_from(statement.subspan(1), scope);
    if (is(first, "del")) return bind_all(statement.subspan(1), scope);
    if (is(first, "global")) return;  // noted for the whole text
    if (is(first, "type") && statement.size() > 1 && is_name(statement[1]))
      return bind(word(statement[1]), scope, Value::other);
    assignment(statement, scope);
  }

  Value value_of(Tokens value) const {
    while (value.size() > 2 && is(value.front(), "(") && closing(value, 0) == value.size() - 1)
      value = value.subspan(1, value.size() - 2);
    if (value.size() != 1) return Value::other;
    if (is(value[0], "True")) return Value::literal_true;
    if (is(value[0], "False")) return Value::literal_false;
    return is(value[0], "None") ? Value::literal_none : Value::other;
  }

  void assignment(Tokens statement, const Scope& scope) {
    auto parts = split(statement, "=");
    auto value = value_of(parts.back());
    if (auto colon = find_outside(parts.front(), ":")) {
      // An annotation alone binds nothing.
      if (parts.size() == 2) assign(parts.front().subspan(0, *colon), scope, value);
      return;
    }
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      assign(parts[i], scope, value);
    if (parts.size() > 1) return;
    outside_brackets(statement, [&](std::size_t i) {
      if (!is_assignment(statement[i])) return true;
      assign(statement.subspan(0, i), scope, Value::other);
      return false;
    });
  }

  void assign(Tokens target, const Scope& scope, Value value) {
    if (target.size() == 1 && is_name(target[0])) return bind(word(target[0]), scope, value);
    // `Name.attribute` was noted for the whole text, and binds nothing here.
    bool attribute = target.size() > 2 && target.size() % 2 == 1;
    for (std::size_t i = 0; attribute && i < target.size(); ++i)
      attribute = i % 2 == 0 ? is_name(target[i]) : is(target[i], ".");
    if (!attribute) bind_all(target, scope);
  }

  void record_import(std::string_view name, const std::string& origin, const Scope& scope) {
    if (scope.class_index) return bind(name, scope, Value::other);
    note_spelling(name);
    auto [found, is_new] = out_.imported.emplace(name, origin);
    if (!is_new && found->second != origin) found->second.clear();
  }

  std::string joined(Tokens tokens) const {
    std::string out;
    for (const auto& token : tokens)
      out += word(token);
    return out;
  }

  /// Splits `a.b as c` into the path and the name behind `as`, if there is one.
  std::pair<Tokens, std::optional<std::string_view>> alias(Tokens item) const {
    for (std::size_t i = 0; i + 1 < item.size(); ++i)
      if (is(item[i], "as")) return {item.subspan(0, i), word(item[i + 1])};
    return {item, std::nullopt};
  }

  void import(Tokens list, const Scope& scope) {
    for (auto item : split(list, ",")) {
      auto [path, name] = alias(item);
      if (path.empty() || !is_name(path[0])) return complain(Errc::corrupt, "an import of nothing");
      // `import a.b` binds `a`, `import a.b as c` binds what `a.b` is.
      if (name)
        record_import(*name, joined(path), scope);
      else
        record_import(word(path[0]), std::string(word(path[0])), scope);
    }
  }

  void import_from(Tokens statement, const Scope& scope) {
    auto keyword = std::ranges::find_if(statement, [&](const Token& token) { return is(token, "import"); });
    if (keyword == statement.end()) return complain(Errc::corrupt, "`from` without `import`");
    auto place = static_cast<std::size_t>(keyword - statement.begin());
    auto module = joined(statement.subspan(0, place));
    if (!module.ends_with('.')) module += '.';
    auto names = statement.subspan(place + 1);
    if (names.size() == 1 && is(names[0], "*")) {
      out_.open = true;
      return;
    }
    if (names.size() >= 2 && is(names.front(), "(") && is(names.back(), ")"))
      names = names.subspan(1, names.size() - 2);
    for (auto item : split(names, ",")) {
      auto [path, name] = alias(item);
      if (path.empty()) continue;  // behind the last comma
      auto origin = std::string(word(path[0]));
      record_import(name.value_or(origin), module + origin, scope);
    }
  }

  // --- compound statements ---

  void statement(const Scope& scope) {
    bool decorated = decorators(scope);
    auto line = rest_of_line();
    bool is_block = peek().kind == TokenKind::indent || peek().kind == TokenKind::dedent;
    if (flaw_ || line.empty() || is_block)
      return complain(Errc::corrupt, "an indentation that no block asked for");
    bool is_async = is(line[0], "async") && line.size() > 1;
    const Token& first = line[is_async ? 1 : 0];
    if (is(first, "def")) return function(scope, decorated ? Decorated::yes : Decorated::no);
    if (is(first, "class")) return class_statement(scope, decorated ? Decorated::yes : Decorated::no);
    if (decorated) return complain(Errc::corrupt, "a decorator of nothing");
    bool opens_block = line.size() > 1 && is(line.back(), ":") &&
                       tokens_[at_ + line.size()].kind == TokenKind::newline &&
                       peek(line.size() + 1).kind == TokenKind::indent;
    bool is_match = is(line[0], "match") && opens_block;
    bool is_case = scope.matching && is(line[0], "case");
    bool is_compound =
        is_async || is_match || is_case ||
        is_one_of(first, {"if", "elif", "else", "for", "while", "try", "except", "finally", "with"});
    if (is_compound) return compound(scope, is_match, is_case);
    simple_statements(line, scope);
    at_ += line.size();
    end_of_line();
  }

  void end_of_line() {
    if (peek().kind != TokenKind::newline) return complain(Errc::corrupt, "a line that does not end");
    ++at_;
    if (peek().kind == TokenKind::indent) complain(Errc::corrupt, "an indentation that no block asked for");
  }

  bool decorators(const Scope& scope) {
    bool any = false;
    while (!flaw_ && is(peek(), "@")) {
      any = true;
      auto line = rest_of_line();
      bind_walrus(line, scope);
      at_ += line.size();
      end_of_line();
    }
    return any;
  }

  /// The tokens before the colon that ends a header; `at_` goes behind the colon.
  std::optional<Tokens> header() {
    auto line = rest_of_line();
    auto colon = find_outside(line, ":");
    if (!colon) {
      complain(Errc::corrupt, "a header without a colon");
      return std::nullopt;
    }
    at_ += *colon + 1;
    return line.subspan(0, *colon);
  }

  /// What follows a header: statements on the same line, or a block.
  void suite(const Scope& scope) {
    if (peek().kind != TokenKind::newline) {
      auto line = rest_of_line();
      simple_statements(line, scope);
      at_ += line.size();
      return end_of_line();
    }
    ++at_;
    if (peek().kind != TokenKind::indent) return complain(Errc::corrupt, "a header without a block");
    ++at_;
    while (!flaw_ && peek().kind != TokenKind::dedent && peek().kind != TokenKind::end)
      statement(scope);
    if (peek().kind == TokenKind::dedent) ++at_;
  }

  void skip_suite() {
    if (peek().kind != TokenKind::newline) {
      at_ += rest_of_line().size();
      return end_of_line();
    }
    ++at_;
    if (peek().kind != TokenKind::indent) return complain(Errc::corrupt, "a header without a block");
    std::size_t depth = 0;
    do {
      if (peek().kind == TokenKind::indent) ++depth;
      if (peek().kind == TokenKind::dedent) --depth;
      ++at_;
    } while (depth > 0 && peek().kind != TokenKind::end);
  }

  void compound(const Scope& scope, bool is_match, bool is_case) {
    auto head = header();
    if (!head) return;
    bind_walrus(*head, scope);
    if (is_case) bind_all(*head, scope);
    for (std::size_t i = 0; i < head->size(); ++i) {
      if (is((*head)[i], "for") && i <= 1) {
        auto in = find_outside(head->subspan(i), "in");
        bind_all(head->subspan(i + 1, in.value_or(1) - 1), scope);
      }
      if (!is((*head)[i], "as") || i + 1 == head->size()) continue;
      bool group = is_one_of((*head)[i + 1], {"(", "["});
      auto end = group ? closing(*head, i + 1) + 1 : i + 2;
      bind_all(head->subspan(i + 1, end - i - 1), scope);
    }
    suite({.class_index = scope.class_index, .conditional = true, .matching = is_match});
  }

  enum class Decorated { no, yes };

  void function(const Scope& scope, Decorated decorated) {
    auto head = header();
    if (!head) return;
    bind_walrus(*head, scope);
    auto def = is(head->front(), "async") ? std::size_t{1} : std::size_t{0};
    if (head->size() < def + 4 || !is_name((*head)[def + 1]))
      return complain(Errc::corrupt, "a `def` without a name");
    auto name = word((*head)[def + 1]);
    auto open = def + 2;
    if (is((*head)[open], "[")) open = closing(*head, open) + 1;
    if (open >= head->size() || !is((*head)[open], "("))
      return complain(Errc::corrupt, "a `def` without parameters");
    bind(name, scope, Value::other);
    bool is_plain = decorated == Decorated::no && !scope.conditional;
    if (scope.class_index && name == "forward" && is_plain)
      forward(head->subspan(open + 1, closing(*head, open) - open - 1), class_of(scope));
    skip_suite();
  }

  void forward(Tokens list, LayerClass& target) {
    auto kind = ParameterKind::positional_or_keyword;
    bool all_ascii = true;
    auto items = split(list, ",");
    if (items.back().empty()) items.pop_back();
    if (items.size() > kMaxParameters) return;
    for (auto item : items) {
      if (item.empty()) return complain(Errc::corrupt, "a parameter without a name");
      if (item.size() == 1 && is(item[0], "/")) {
        for (auto& earlier : target.parameters)
          earlier.kind = ParameterKind::positional_only;
        continue;
      }
      bool star = is(item[0], "*");
      if (star) kind = ParameterKind::keyword_only;
      if (star && item.size() == 1) continue;
      bool stars = is(item[0], "**");
      auto rest = item.subspan(star || stars ? 1 : 0);
      if (rest.empty() || !is_name(rest[0])) return complain(Errc::corrupt, "a parameter without a name");
      all_ascii = all_ascii && is_plain_ascii(word(rest[0]));
      target.parameters.push_back({.name = std::string(word(rest[0])),
                                   .kind = star    ? ParameterKind::var_positional
                                           : stars ? ParameterKind::var_keyword
                                                   : kind,
                                   .has_default = find_outside(rest, "=").has_value()});
    }
    target.forward = all_ascii ? ForwardText::known : ForwardText::unknown;
    if (!all_ascii) target.parameters.clear();
  }

  void class_statement(const Scope& scope, Decorated decorated) {
    auto head = header();
    if (!head) return;
    bind_walrus(*head, scope);
    if (head->size() < 2 || !is_name((*head)[1])) return complain(Errc::corrupt, "a `class` without a name");
    auto name = word((*head)[1]);
    if (scope.class_index) {
      bind(name, scope, Value::other);
      return skip_suite();
    }
    if (out_.classes.size() == kMaxClasses) return complain(Errc::unsupported, "too many classes");
    note_spelling(name);
    LayerClass item;
    item.name = name;
    item.certain = decorated == Decorated::no;
    std::size_t open = 2;
    if (open < head->size() && is((*head)[open], "[")) open = closing(*head, open) + 1;
    if (open < head->size()) {
      if (!is((*head)[open], "(")) return complain(Errc::corrupt, "a `class` without a name");
      bases(head->subspan(open + 1, closing(*head, open) - open - 1), item);
    }
    out_.classes.push_back(std::move(item));
    members_of_class_.clear();
    suite({.class_index = out_.classes.size() - 1});
  }

  void bases(Tokens list, LayerClass& item) {
    for (auto base : split(list, ",")) {
      if (base.empty()) continue;
      // `metaclass=M`, `**options`, `*several`: the class can become anything.
      bool keyword = is_one_of(base[0], {"*", "**"}) || find_outside(base, "=");
      if (keyword) item.certain = false;
      if (keyword && !is(base[0], "*")) continue;
      item.bases.push_back(spelled(base));
    }
  }

  /// An expression as it stands in the text, with one blank wherever there was any gap.
  std::string spelled(Tokens tokens) const {
    std::string out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      bool gap = i > 0 && tokens[i - 1].begin + tokens[i - 1].length != tokens[i].begin;
      if (gap) out += ' ';
      out += word(tokens[i]);
    }
    return out;
  }

  std::string_view text_;
  const std::vector<Token>& tokens_;
  std::size_t at_ = 0;
  LayerSource out_;
  std::set<std::string> changed_later_;
  std::set<std::string, std::less<>> members_of_class_;  // of the class that is being read
  std::optional<Error> flaw_;
};

}  // namespace

Result<LayerSource> read_layer_source(std::string_view python) {
  auto tokens = read_python_tokens(python);
  if (!tokens) return fail(std::move(tokens).error());
  return SourceReader(*tokens).run();
}

}  // namespace kernels::inspect
