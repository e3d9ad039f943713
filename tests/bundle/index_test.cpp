#include "kernels/bundle/index.h"

#include "sample.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::test;

namespace {

/// The index text with one piece replaced is refused by a rule.
void check_index_refused(const std::string& text, const std::string& rule) {
  auto parsed = bundle::parse_index(text, "`k`: `index.json`");
  REQUIRE_FALSE(parsed);
  INFO(parsed.error().text());
  CHECK(parsed.error().code() == Errc::integrity);
  CHECK_THAT(parsed.error().text(), contains("(rule " + rule + ")"));
}

std::string replaced(const std::string& from, const std::string& to) {
  auto text = bundle::render_index(Sample().index);
  auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("index: what is written reads back as the same values", "[bundle]") {
  Sample sample;
  auto text = bundle::render_index(sample.index);
  auto parsed = bundle::parse_index(text, "x");
  if (!parsed) FAIL(parsed.error().text());
  CHECK(*parsed == sample.index);
  CHECK(bundle::render_index(*parsed) == text);
}

TEST_CASE("index: the size of the archive is that of the bytes", "[bundle]") {
  Sample sample;
  CHECK(bundle::archive_bytes(sample.index, bundle::render_index(sample.index).size()) ==
        sample.archive().size());
}

TEST_CASE("index: any other text for the same values is refused", "[bundle]") {
  auto text = bundle::render_index(Sample().index);
  check_index_refused(text + " ", "index-form");
  check_index_refused(" " + text, "index-form");
  check_index_refused(replaced("\"schema\"", "\"Schema\": 1, \"schema\""), "index-form");
  check_index_refused(replaced("\"ref\": \"v1\"", "\"ref\": \"main\", \"ref\": \"v1\""), "index-form");
  check_index_refused(replaced("\"size\": 5", "\"size\":  5"), "index-form");
  check_index_refused(replaced("v1", "\\u0076\\u0031"), "index-form");
  check_index_refused(replaced("\"entries\": 8", "\"entries\": 8.0"), "index-totals");
  check_index_refused("{}", "index-form");
  check_index_refused("", "index-form");
  check_index_refused("[]", "index-form");
  check_index_refused(std::string(1 << 20, '['), "index-form");
  check_index_refused(text.substr(0, text.size() / 2), "index-form");
}

TEST_CASE("index: an index of a newer program is not called damaged", "[bundle]") {
  auto parsed = bundle::parse_index(replaced("kernels.bundle/1", "kernels.bundle/2"), "x");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code() == Errc::unsupported);
  CHECK_THAT(parsed.error().text(), contains("kernels.bundle/2"));
}

TEST_CASE("index: names that lead elsewhere are refused", "[bundle]") {
  for (std::string path : {"../evil", "/etc/passwd", "build/../../x", "build//x", "a\\\\b", ""}) {
    CAPTURE(path);
    check_index_refused(replaced("build/torch-cpu/__init__.py", path), "index-names");
  }
  check_index_refused(replaced("acme/relu", "../relu"), "index-names");
  check_index_refused(replaced("\"ref\": \"v1\"", "\"ref\": \"../v1\""), "index-names");
  check_index_refused(replaced(std::string(40, 'a'), std::string(39, 'a')), "index-names");
  check_index_refused(replaced("kernels.lock", "kernels.toml"), "index-entries");
  check_index_refused(replaced("blobs/", "blob/"), "index-entries");
}

TEST_CASE("index: entries and files must belong to each other", "[bundle]") {
  Sample sample;
  auto check = [&](const std::string& rule) {
    check_index_refused(bundle::render_index(sample.index), rule);
  };
  auto& files = sample.index.kernels[0].files;
  SECTION("a blob that no file has") {
    sample.index.entries.push_back(
        {.path = "blobs/" + std::string(64, '0'), .size = 1, .sha256 = std::string(64, '0')});
    check("index-entries");
  }
  SECTION("a file without a blob") {
    files[0].sha256 = std::string(64, '0');
    check("index-files");
  }
  SECTION("a file of another size than its blob") {
    ++files[0].entry.size;
    check("index-files");
  }
  SECTION("a large file that is named by another hash") {
    for (auto& file : files)
      if (file.entry.blob.is_sha256()) file.entry.blob = BlobId::of_sha256(std::string(64, '0'));
    check("index-files");
  }
  SECTION("a place that is used twice") {
    files.push_back(files[0]);
    check("index-files");
  }
  SECTION("a place that is a file and a folder") {
    auto below = files[0];
    below.entry.path = *RepoPath::parse(files[0].entry.path.str() + "/x");
    files.push_back(below);
    check("index-files");
  }
  SECTION("a commit twice") {
    sample.index.kernels.push_back(sample.index.kernels[0]);
    check("index-files");
  }
  SECTION("a size that no header can state") {
    sample.index.entries.back().size = 8ULL << 30;
    check("index-size");
  }
}
