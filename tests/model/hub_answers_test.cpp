#include "kernels/model/hub_answers.h"

#include "support/catch.h"

using namespace kernels;
using kernels::test::contains;

namespace {
const std::string kSha1 = "084c3e1d6a96eabac9160729d1a393352a0bf096";
const std::string kSha256 = "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a";

std::string file_item(const std::string& path, const std::string& rest) {
  return R"([{"type": "file", "path": ")" + path + "\"" + rest + "}]";
}
}  // namespace

TEST_CASE("refs: branches and tags, unknown keys ignored, names that could be no file left out", "[model]") {
  auto refs =
      parse_refs(R"({"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": ")" + kSha1 +
                     R"("}, {"name": "../evil", "targetCommit": ")" + kSha1 + R"("}], "converts": [],
    "tags": [{"name": "v0.0.2", "targetCommit": ")" +
                     kSha1 + R"("}], "pullRequests": [], "future": {}})",
                 "the answer");
  REQUIRE(refs);
  REQUIRE(refs->branches.size() == 1);
  CHECK(refs->branches[0].name == "main");
  CHECK(refs->branches[0].commit.str() == kSha1);
  REQUIRE(refs->tags.size() == 1);
}

TEST_CASE("refs: an answer without its lists or with a bad commit is refused", "[model]") {
  const auto* json =
      GENERATE("{}", R"({"branches": []})", R"({"branches": [], "tags": {}})", "[]", "",
               R"({"branches": [{"name": "main", "targetCommit": "main"}], "tags": []})",
               R"({"branches": [{"name": 1}], "tags": []})", R"({"branches": ["main"], "tags": []})");
  CAPTURE(json);
  auto refs = parse_refs(json, "https://hub/refs");
  REQUIRE_FALSE(refs);
  CHECK(refs.error().code() == Errc::corrupt);
  CHECK_THAT(describe(refs.error()), contains("https://hub/refs"));
}

TEST_CASE("revision info: the commit is needed, the name is not", "[model]") {
  CHECK(parse_revision_info(R"({"sha": ")" + kSha1 + "\"}", "a")->id.empty());
  CHECK(parse_revision_info(R"({"sha": ")" + kSha1 + R"(", "id": "new/name"})", "a")->id == "new/name");
  CHECK_FALSE(parse_revision_info(R"({"id": "a/b"})", "a"));
  CHECK_FALSE(parse_revision_info(R"({"sha": null})", "a"));
  CHECK_FALSE(parse_revision_info(R"({"sha": "ABCDEF"})", "a"));
}

TEST_CASE("tree page: files with their sizes and hashes, nothing else", "[model]") {
  auto page = parse_tree_page(R"([
    {"type": "directory", "oid": "x", "size": 0, "path": "build/torch-cpu"},
    {"type": "submodule", "path": 7},
    {"type": "file", "oid": ")" + kSha1 +
                                  R"(", "size": 21, "path": "build/torch-cpu/__init__.py", "lfs": null},
    {"type": "file", "oid": ")" + kSha1 +
                                  R"(", "size": 99, "lfs": {"oid": ")" + kSha256 +
                                  R"(", "size": 12, "pointerSize": 127}, "path": "build/torch-cpu/a.so"},
    {"type": "file", "oid": ")" + kSha1 +
                                  R"(", "size": 12, "lfs": {"sha256": ")" + kSha256 + R"("}, "path": "b.so"}
  ])",
                              "a");
  REQUIRE(page);
  REQUIRE(page->size() == 3);
  CHECK(page->at(0).blob.str() == kSha1);
  CHECK(page->at(0).size == 21);
  CHECK(page->at(1).blob.str() == kSha256);
  CHECK(page->at(1).size == 12);
  CHECK(page->at(2).size == 12);
  CHECK(parse_tree_page("[]", "a")->empty());
}

TEST_CASE("tree page: hostile names, hashes and sizes are refused for what they are", "[model]") {
  const std::string good = R"(, "oid": ")" + kSha1 + R"(", "size": 1)";
  struct Row {
    std::string json;
    Errc code;
  };
  std::vector<Row> rows = {
      {file_item("../../etc/passwd", good), Errc::integrity},
      {file_item("/etc/passwd", good), Errc::integrity},
      {file_item("build/a\\\\..\\\\b", good), Errc::integrity},
      {file_item("build/\\u0000", good), Errc::integrity},
      {file_item("build/x", R"(, "oid": "../../x", "size": 1)"), Errc::integrity},
      {file_item("build/x", R"(, "oid": ")" + kSha256 + R"(", "size": 1)"), Errc::integrity},
      {file_item("build/x", good + R"(, "lfs": {"oid": ")" + kSha1 + R"("})"), Errc::integrity},
      {file_item("build/x", good + R"(, "lfs": {"oid": ")" + kSha256 + R"(", "size": 50000000001})"),
       Errc::integrity},
      {file_item("build/x", R"(, "oid": ")" + kSha1 + R"(", "size": 50000000001)"), Errc::integrity},
      {file_item("build/x", R"(, "oid": ")" + kSha1 + R"(", "size": 18446744073709551615)"), Errc::integrity},
      {file_item("build/x", R"(, "oid": ")" + kSha1 + R"(", "size": -1)"), Errc::corrupt},
      {file_item("build/x", R"(, "oid": ")" + kSha1 + R"(", "size": 1.5)"), Errc::corrupt},
      {file_item("build/x", R"(, "oid": ")" + kSha1 + R"(")"), Errc::corrupt},
      {file_item("build/x", good + R"(, "lfs": {})"), Errc::corrupt},
      {file_item("build/x", good + R"(, "lfs": [])"), Errc::corrupt},
      {R"([{"path": "x"}])", Errc::corrupt},
      {R"(["x"])", Errc::corrupt},
      {R"({"error": "x"})", Errc::corrupt},
      {"<html>", Errc::corrupt},
  };
  for (const auto& row : rows) {
    CAPTURE(row.json);
    auto page = parse_tree_page(row.json, "https://hub/tree");
    REQUIRE_FALSE(page);
    CHECK(page.error().code() == row.code);
  }
}

TEST_CASE("trusted publisher: only a plain true is trust", "[model]") {
  CHECK(*parse_trusted_publisher(R"({"trustedKernelPublisher": true})", "a"));
  CHECK_FALSE(*parse_trusted_publisher(R"({"trustedKernelPublisher": false})", "a"));
  CHECK_FALSE(*parse_trusted_publisher(R"({"trustedKernelPublisher": null})", "a"));
  CHECK_FALSE(*parse_trusted_publisher(R"({"name": "acme"})", "a"));
  CHECK_FALSE(parse_trusted_publisher(R"({"trustedKernelPublisher": "true"})", "a"));
  CHECK_FALSE(parse_trusted_publisher(R"({"trustedKernelPublisher": 1})", "a"));
  CHECK_FALSE(parse_trusted_publisher("true", "a"));
}

TEST_CASE("error body: the forms that the Hub uses give their text, pages for browsers give none",
          "[model]") {
  struct Row {
    std::string body;
    const char* text;
  };
  std::vector<Row> rows = {
      {R"({"error": "no such repo"})", "no such repo"},
      {R"({"error": ["a", "b"]})", "a"},
      {R"({"errors": [{"message": "m"}]})", "m"},
      {R"({"error": "code", "error_description": "in words"})", "in words"},
      {R"({"message": "m"})", "m"},
      {"Service Unavailable", "Service Unavailable"},
      {"<html><body>502</body></html>", ""},
      {"", ""},
      {"{}", ""},
      {R"({"error": 5})", ""},
      {R"({"error": []})", ""},
      {"\x01\x02", ""},
      {std::string(600, 'x'), ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.body);
    CHECK(parse_error_body(row.body).value_or("") == row.text);
  }
  CHECK(parse_error_body(R"({"error": ")" + std::string(5000, 'e') + "\"}")->size() == 500);
}
