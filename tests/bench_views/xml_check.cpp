#include "xml_check.h"

#include <cctype>

#include "kernels/base/utf8.h"

namespace kernels::test {

namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  XmlDocument read() {
    XmlDocument out;
    if (!is_utf8(rest_)) return complain("not UTF-8");
    for (char c : rest_)
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return complain("a control character");
    for (std::string_view none : {"\xEF\xBF\xBE", "\xEF\xBF\xBF"})
      if (rest_.contains(none)) return complain("what is no character");
    if (!take("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")) return complain("no declaration");
    std::vector<std::string> open;
    for (;;) {
      if (!take("<")) return complain("text outside of a tag");
      if (take("/")) {
        if (open.empty() || name() != open.back() || !take(">")) return complain("a tag closes another");
        open.pop_back();
      } else {
        auto tag = read_tag();
        const bool is_closed = take("/>");
        if (!is_closed && !take(">")) return complain("a tag without end");
        if (!is_closed) open.push_back(tag.name);
        out.tags.push_back(std::move(tag));
      }
      if (!complaint_.empty()) return complain(complaint_);
      if (open.empty()) break;
      auto text = content('<');
      if (!out.tags.empty() && out.tags.back().text.empty()) out.tags.back().text = text;
      if (!complaint_.empty()) return complain(complaint_);
    }
    take("\n");
    if (!rest_.empty()) return complain("something after the end");
    return out;
  }

 private:
  static XmlDocument complain(const std::string& text) { return {.tags = {}, .complaint = text}; }
  bool take(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
  }
  std::string name() {
    std::string out;
    auto is_part = [&](unsigned char c) {
      return std::isalpha(c) != 0 || (!out.empty() && (std::isdigit(c) != 0 || c == '-'));
    };
    while (!rest_.empty() && is_part(static_cast<unsigned char>(rest_.front()))) {
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    return out;
  }
  XmlTag read_tag() {
    XmlTag out;
    out.name = name();
    if (out.name.empty()) complaint_ = "a tag without a name";
    while (complaint_.empty() && take(" ")) {
      auto key = name();
      if (!take("=\"")) complaint_ = "an attribute without a value";
      auto value = content('"');
      if (!take("\"")) complaint_ = "an attribute without an end";
      if (!out.attributes.emplace(key, value).second) complaint_ = "an attribute given twice";
    }
    return out;
  }
  /// Up to a character, which stays, with entities resolved.
  std::string content(char end) {
    std::string out;
    while (!rest_.empty() && rest_.front() != end && complaint_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '<' || c == '>' || c == '"') complaint_ = "markup in a text";
      if (c != '&') {
        out += c;
        continue;
      }
      int code = 0;
      if (!take("#")) complaint_ = "an entity by name";
      while (!rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_.front())) != 0) {
        code = code * 10 + (rest_.front() - '0');
        rest_.remove_prefix(1);
      }
      if (!take(";") || (code < 0x20 && code != '\n' && code != '\t' && code != '\r') || code > 0x7E)
        complaint_ = "an entity that is no character";
      out += static_cast<char>(code);
    }
    return out;
  }

  std::string_view rest_;
  std::string complaint_;
};

}  // namespace

XmlDocument read_xml(std::string_view text) {
  return Reader(text).read();
}

}  // namespace kernels::test
