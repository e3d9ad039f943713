#include "kernels/model/repo.h"

#include "kernels/model/file_entry.h"

#include "support/catch.h"

using namespace kernels;

TEST_CASE("repo id: names that the Hub refuses are refused", "[model]") {
  const auto* text = GENERATE("a/b/c", "acme/re--lu", "acme/re..lu", "acme/relu.git", "acme/.x", "-a/b",
                              "a/b-", "", "a/", "/b", "a b/c", "acme/é");
  CAPTURE(text);
  auto repo = RepoId::parse(text);
  REQUIRE_FALSE(repo);
  CHECK(repo.error().code() == Errc::invalid_argument);
}

TEST_CASE("repo id: the cache folder keeps letter case", "[model]") {
  CHECK(RepoId::parse("Acme_1/x.y-z")->folder() == "kernels--Acme_1--x.y-z");
  CHECK(RepoId::parse("relu")->folder() == "kernels--relu");
  CHECK(RepoId::parse("acme/relu")->publisher() == "acme");
}

TEST_CASE("repo path: a name that could leave the cache is refused", "[model]") {
  std::string text = GENERATE(as<std::string>{}, "../a", "a/../b", "/etc/x", "C:\\x", "D:foo", "a\\..\\b",
                              "a/C:/b", "\\\\h\\s\\x", "a//b", "./a", "a/.", "", "a/", "a\nb", "a\x7f",
                              std::string("a\0b", 3), std::string(300, 'x'), std::string(5000, 'y'));
  CAPTURE(text);
  auto path = RepoPath::parse(text);
  REQUIRE_FALSE(path);
  CHECK(path.error().code() == Errc::integrity);
}

TEST_CASE("repo path: odd but harmless names pass", "[model]") {
  const auto* text = GENERATE("..a/b", "a/..b", "build/é/x%y.so", "a b#1", "...");
  CHECK(RepoPath::parse(text));
}

TEST_CASE("commit: only 40 or 64 lower-case hexadecimal digits", "[model]") {
  CHECK(Commit::parse(std::string(40, 'a')));
  CHECK(Commit::parse(std::string(64, '0')));
  CHECK_FALSE(Commit::parse(std::string(40, 'A')));
  CHECK_FALSE(Commit::parse(std::string(39, 'a')));
}

namespace {
FileEntry entry(const char* path, const char* blob) {
  return {.path = *RepoPath::parse(path), .size = 1, .blob = *BlobId::parse(blob)};
}
}  // namespace

TEST_CASE("variant hash: whole paths sort as bytes, bytecode does not count", "[model]") {
  std::vector<FileEntry> files = {
      entry("build/torch-cpu/sub/data.bin",
            "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a"),
      entry("build/torch-cpu/sub.txt", "a2373c722dedbf05f6669eba1ea044484213d03d"),
      entry("build/torch-cpu/sub-x.txt", "a2544f7ec3007899167de1fef481a5a0fd63fa41"),
      entry("build/torch-cpu/__pycache__/x.pyc", "b68025345d5301abad4d9ec9166f455243a0d746"),
      entry("build/torch-cpu/é.txt", "1790b5177aa5b07b7eaaa219eecfc864c7120a56"),
      entry("build/torch-cpu/z.txt", "b68025345d5301abad4d9ec9166f455243a0d746"),
      entry("build/torch-cpu/metadata.json", "4aeabd69be98e4346fdb65179b3da424e767a6be"),
      entry("build/torch-cpu/layers.py", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
      entry("build/torch-cpu/_ops.py", "b15b1b0797d64623135bb2d04a67bae078fa44c2"),
      entry("build/torch-cpu/__init__.py", "084c3e1d6a96eabac9160729d1a393352a0bf096"),
  };
  CHECK(variant_hash(files, "build/torch-cpu") ==
        "sha256-6b8dd205379bbc46b7d0bc0dd31f50023886e901c0d0cec4905a36d759e9744b");
}

TEST_CASE("variant hash: a plain file in place of a folder hashes under the name `.`", "[model]") {
  auto hasher = Hasher::git_blob(6);
  hasher.update("notes\n");
  auto blob = hasher.finish_hex();
  CHECK(variant_hash({entry("build/torch-notes.txt", blob.c_str())}, "build/torch-notes.txt") ==
        "sha256-0514956b0b89b888278ef2a84911332b1950ffcd729d7fb5a478d5d07712d0d2");
}
