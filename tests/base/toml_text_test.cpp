#include "kernels/base/toml_text.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("toml text: letters outside ASCII belong into strings and comments", "[base]") {
  struct Row {
    const char* name;
    const char* text;
    std::size_t line;  ///< 0: no flaw
    std::size_t column;
  };
  auto row = GENERATE(values<Row>({
      {"nothing", "", 0, 0},
      {"ASCII", "a = 1\n[b]\n", 0, 0},
      {"in a string", "a = \"é\"", 0, 0},
      {"in a literal string", "a = 'é\\'\nb = 1", 0, 0},
      {"in a comment", "a = 1 # é\nb = 2", 0, 0},
      {"in a multi-line string", "a = \"\"\"\né\n\"é\" \"\"\"\n", 0, 0},
      {"in a multi-line literal", "a = '''\né''\n'''\n", 0, 0},
      {"quotes before the closing quotes", "a = \"\"\"é\"\"\"\"\"\nb = 1", 0, 0},
      {"a byte order mark at the start", "\xEF\xBB\xBF a = 1", 0, 0},
      {"an escaped quote", "a = \"\\\"é\"", 0, 0},
      {"a quote in a comment", "# \"\na = 'é'", 0, 0},
      {"in a quoted part of a key", "a.\"é\" = 1", 0, 0},
      {"in what looks like a string after a number", "a = 1.5\"é\"", 1, 9},
      {"as a bare key", "é = 1", 1, 1},
      {"after a value", "a = 1\nb = 2 é", 2, 7},
      {"a blank that is not ASCII",
       "a =\xC2\xA0"
       "1",
       1, 4},
      {"after a closed string", "a = \"x\" é", 1, 9},
      {"after five quotes", "a = \"\"\"x\"\"\"\"\"é", 1, 14},
      {"behind a string that is not closed", "a = \"x\né", 2, 1},
      {"after a backslash", "a = \"\\é\"", 1, 7},
      {"after a backslash at the end of a line", "a = \"\"\"\\\n  é\"\"\"", 2, 3},
      {"a byte order mark elsewhere", "a = 1\xEF\xBB\xBF", 1, 6},
  }));
  INFO(row.name);
  auto flaw = find_toml_flaw(row.text);
  REQUIRE(flaw.has_value() == (row.line != 0));
  if (!flaw) return;
  CHECK(flaw->line == row.line);
  CHECK(flaw->column == row.column);
}

TEST_CASE("toml text: a file from the Hub is ASCII throughout, strings and comments too", "[base]") {
  CHECK_FALSE(find_non_ascii("a = \"b\" # c\n"));
  auto flaw = find_non_ascii("a = 1\nb = \"\xC3\xA9\"\n");
  REQUIRE(flaw);
  CHECK(flaw->line == 2);
  CHECK(flaw->column == 6);
}
