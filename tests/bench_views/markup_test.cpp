#include "markup.h"

#include "kernels/base/utf8.h"

#include "support/catch.h"
#include "xml_check.h"

using namespace kernels;
using app::markdown_code;
using app::xml_text;

TEST_CASE("markup: text of others is code in Markdown, whatever it holds", "[app]") {
  CHECK(markdown_code("").empty());
  CHECK(markdown_code("rms_norm<float>") == "`rms_norm<float>`");
  CHECK(markdown_code("@everyone see #1 https://evil.example [x](y) **b**") ==
        "`@everyone see #1 https://evil.example [x](y) **b**`");
  CHECK(markdown_code("two\nlines\tand\ra bell\a") == "`two lines and a bell\uFFFD`");
  // What would end the span or the cell.
  CHECK(markdown_code("a|b") == "<code>a&#124;b</code>");
  CHECK(markdown_code("a\\|b") == "<code>a&#92;&#124;b</code>");
  CHECK(markdown_code("`") == "<code>&#96;</code>");
  CHECK(markdown_code("|<script>@you") == "<code>&#124;&#60;script&#62;&#64;you</code>");
  CHECK(markdown_code("  ") == "<code>  </code>");
}

TEST_CASE("markup: text of others is only text in XML", "[app]") {
  CHECK(xml_text("a<b>&\"c\"'d'") == "a&#60;b&#62;&#38;&#34;c&#34;&#39;d&#39;");
  CHECK(xml_text("]]>") == "]]&#62;");
  CHECK(xml_text("a\n\tb") == "a&#10;&#9;b");
  CHECK(xml_text("µs \U0001F600") == "µs \U0001F600");
}

TEST_CASE("markup: what nobody sees is shown, and what is not UTF-8 does not pass", "[app]") {
  struct Row {
    const char* name;
    std::string text;
    std::string shown;
  };
  for (const auto& row :
       {Row{"escape", "\x1b[31m", "\uFFFD[31m"}, Row{"delete", "\x7f", "\uFFFD"},
        Row{"C1 control", "\u009b1m", "\uFFFD1m"}, Row{"zero", std::string("a\0b", 3), "a\uFFFDb"},
        Row{"right to left", "a\u202eb", "a\uFFFDb"}, Row{"isolate", "\u2066", "\uFFFD"},
        Row{"zero width", "\u200b", "\uFFFD"}, Row{"line separator", "\u2028", "\uFFFD"},
        Row{"no character", "\uFFFE\uFFFF", "\uFFFD\uFFFD"}, Row{"cut off", "a\xe2\x82", "a\uFFFD\uFFFD"},
        Row{"surrogate", "\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"}, Row{"overlong", "\xc0\xaf", "\uFFFD\uFFFD"},
        Row{"alone", "\xff", "\uFFFD"}, Row{"before text", "\xe2(", "\uFFFD("}}) {
    DYNAMIC_SECTION(row.name) {
      CHECK(xml_text(row.text) == row.shown);
      CHECK(markdown_code(row.text) == "`" + row.shown + "`");
    }
  }
}

TEST_CASE("markup: every byte before and after every other makes good XML and one line of Markdown",
          "[app]") {
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      const auto xml = test::read_xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a b=\"" + xml_text(text) +
                                      "\">" + xml_text(text) + "</a>");
      const auto code = markdown_code(text);
      const bool is_good = xml.complaint.empty() &&
                           xml.tags.at(0).text == xml.tags.at(0).attributes.at("b") && is_utf8(code) &&
                           code.find_first_of("\n\r|\\") == std::string::npos;
      CAPTURE(first, second);
      REQUIRE(is_good);
    }
}

TEST_CASE("markup: the reader of the tests refuses what is no XML", "[app]") {
  const std::string head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  CHECK(test::read_xml(head + "<a b=\"c\"><d/>e</a>").complaint.empty());
  for (const char* bad : {"", "<a>", "<a></b>", "<a b=\"<\"/>", "<a b=c/>", "<a b=\"1\" b=\"2\"/>",
                          "<a>&</a>", "<a>&#1;</a>", "<a>\x01</a>", "<a>\xff</a>", "<a/>b", "text"}) {
    CAPTURE(bad);
    CHECK_FALSE(test::read_xml(head + bad).complaint.empty());
  }
}
