#include "text.h"

#include <algorithm>
#include <random>
#include <sstream>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels::app;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    out.push_back(line);
  return out;
}

std::size_t widest(const std::string& text) {
  std::size_t out = 0;
  for (const auto& line : lines_of(text))
    out = std::max(out, display_width(line));
  return out;
}

/// The characters of a text in order of value, without blanks and line breaks.
std::string letters(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  std::ranges::sort(text);
  return text;
}

}  // namespace

TEST_CASE("table: within its columns it is the plain table", "[cli]") {
  std::vector<std::vector<std::string>> rows = {{"A", "B"}, {"one two", "three"}};
  CHECK(table_within(14, rows) == table(rows));
  CHECK(table(rows) == "A        B\none two  three\n");
}

TEST_CASE("table: a cell that is too wide goes on below itself, broken at blanks, else at marks", "[cli]") {
  CHECK(table_within(20, {{"A", "B"}, {"x", "one two three four five"}}) ==
        "A  B\nx  one two three\n   four five\n");
  CHECK(table_within(20, {{"A", "B"}, {"x", "acme/a-long-repository/name"}}) ==
        "A  B\nx  acme/\n   a-long-repository\n   /name\n");
  CHECK(table_within(20, {{"A", "B"}, {"one\ntwo", "three"}}) == "A    B\none  three\ntwo\n");
}

TEST_CASE("table: random cells stay within the columns and lose no character", "[cli]") {
  std::mt19937_64 rng(kernels::test::seed());
  const std::vector<std::string> pieces = {"a", "bc", " ", "/", "|", ",", "é", "…", "\n", "word", "-", "  "};
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::vector<std::string>> rows;
    std::string all;
    auto columns = 1 + rng() % 5;
    for (std::size_t row = 0, count = 1 + rng() % 4; row < count; ++row) {
      rows.emplace_back();
      for (std::size_t column = 0; column < columns; ++column) {
        std::string cell;
        for (std::size_t i = 0, length = rng() % 60; i < length; ++i)
          cell += pieces[rng() % pieces.size()];
        all += cell;
        rows.back().push_back(cell);
      }
    }
    auto text = table_within(50 + rng() % 60, rows);
    CAPTURE(round, text);
    REQUIRE(letters(text) == letters(all));
  }
  for (int round = 0; round < 500; ++round) {
    auto columns = 50 + rng() % 60;
    std::string cell;
    for (std::size_t i = 0, length = rng() % 200; i < length; ++i)
      cell += pieces[rng() % pieces.size()];
    auto text = table_within(columns, {{"short", cell, "x", cell}});
    CAPTURE(round, columns, text);
    REQUIRE(widest(text) <= columns);
  }
}

TEST_CASE("text: control characters of others become question marks", "[cli]") {
  CHECK(plain("a\x1b[31mb\n\t\x7fé") == "a?[31mb???é");
}
