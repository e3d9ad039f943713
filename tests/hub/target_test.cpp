#include "server_target.h"
#include "support/catch.h"

using namespace kernels::hub;

TEST_CASE("request target: an escaped slash stays inside its segment", "[hub]") {
  auto target =
      parse_target("/api/kernels/a/b/tree/refs%2Fpr%2F1/build%2Ftorch-cpu?recursive=true&cursor=a%2Bb%3D");
  REQUIRE(target);
  CHECK(target->segments.size() == 7);
  CHECK(target->segments[5] == "refs/pr/1");
  CHECK(target->tail(6) == "build/torch-cpu");
  CHECK(target->value("recursive") == "true");
  CHECK(target->value("cursor") == "a+b=");
  CHECK(target->value("absent").empty());
}

TEST_CASE("request target: absolute form and fragments are understood, broken escapes are not", "[hub]") {
  CHECK(parse_target("http://h:1/a/b")->tail(0) == "a/b");
  CHECK(parse_target("https://h")->tail(0).empty());
  CHECK(parse_target("/a#b")->tail(0) == "a");
  CHECK_FALSE(parse_target("/a%zz"));
  CHECK_FALSE(parse_target("/a%2"));
  CHECK_FALSE(parse_target("a"));
  CHECK_FALSE(parse_target("*"));
  CHECK_FALSE(parse_target("/a?x=%4"));
}

TEST_CASE("form: repeated keys keep their order, plus is a space", "[hub]") {
  auto form = parse_form("paths=a+b&paths=c%26d&&flag&expand=false");
  REQUIRE(form);
  REQUIRE(form->size() == 4);
  CHECK((*form)[0].second == "a b");
  CHECK((*form)[1].second == "c&d");
  CHECK((*form)[2] == std::pair<std::string, std::string>{"flag", ""});
}

TEST_CASE("percent encoding: only unreserved characters stay", "[hub]") {
  CHECK(percent_encode("a b#1%é/_.-~", "/") == "a%20b%231%25%C3%A9/_.-~");
  CHECK(percent_encode("refs/pr/1") == "refs%2Fpr%2F1");
}

TEST_CASE("range: one range of bytes is honoured, anything odd means the whole file", "[hub]") {
  using Kind = AskedRange::Kind;
  struct Row {
    const char* header;
    std::uint64_t size;
    Kind kind;
    std::uint64_t first;
    std::uint64_t length;
  };
  auto row = GENERATE(values<Row>({
      {"", 10, Kind::whole, 0, 0},
      {"bytes=0-3", 10, Kind::part, 0, 4},
      {"bytes=4-", 10, Kind::part, 4, 6},
      {"bytes=-3", 10, Kind::part, 7, 3},
      {"bytes=-99", 10, Kind::part, 0, 10},
      {"bytes=9-99", 10, Kind::part, 9, 1},
      {"bytes=10-", 10, Kind::unsatisfiable, 0, 0},
      {"bytes=-0", 10, Kind::unsatisfiable, 0, 0},
      {"bytes=0-", 0, Kind::unsatisfiable, 0, 0},
      {"bytes=5-4", 10, Kind::whole, 0, 0},
      {"bytes=0-1,3-4", 10, Kind::whole, 0, 0},
      {"bytes=99999999999999999999-", 10, Kind::whole, 0, 0},
      {"bytes=-", 10, Kind::whole, 0, 0},
      {"bytes=a-b", 10, Kind::whole, 0, 0},
      {"lines=0-1", 10, Kind::whole, 0, 0},
  }));
  CAPTURE(row.header);
  auto range = parse_range(row.header, row.size);
  CHECK(range.kind == row.kind);
  CHECK(range.first == row.first);
  CHECK(range.length == row.length);
}
