#include "kernels/model/git_objects.h"

#include "support/catch.h"

using namespace kernels;

namespace {
FileEntry entry(const char* path, std::uint64_t size, const char* blob) {
  return {.path = *RepoPath::parse(path), .size = size, .blob = *BlobId::parse(blob)};
}

const char* const kPayload = "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a";

/// The same files were committed with git itself; the names below are the ones that it gave.
std::vector<FileEntry> committed_with_git() {
  return {
      entry("build/torch-cpu/sub/data.bin", 12, kPayload),
      entry("build/torch-cpu/sub.txt", 4, "a2373c722dedbf05f6669eba1ea044484213d03d"),
      entry("README.md", 2, "b68025345d5301abad4d9ec9166f455243a0d746"),
      entry("build/torch-cpu/sub-x.txt", 5, "a2544f7ec3007899167de1fef481a5a0fd63fa41"),
      entry("build/torch-cpu/metadata.json", 14, "4aeabd69be98e4346fdb65179b3da424e767a6be"),
      entry("build/torch-cpu/__init__.py", 21, "084c3e1d6a96eabac9160729d1a393352a0bf096"),
  };
}
}  // namespace

TEST_CASE("git objects: trees and commit are the ones that git makes", "[model]") {
  auto trees = git_trees(committed_with_git());
  REQUIRE(trees);
  CHECK(trees->at("") == "8fd1c56f5605c4cedf4afea02a2ce0b320151f42");
  CHECK(trees->at("build") == "69d8284aa3fca6293a3368797b94639c4ad1fd76");
  CHECK(trees->at("build/torch-cpu") == "bce954a9fc60ca207456c963278db8ad154dd985");
  CHECK(trees->at("build/torch-cpu/sub") == "898819f39053481d46b18433384080a278e18d1f");
  CHECK(trees->size() == 4);
  CHECK(git_commit(trees->at(""), "Import").str() == "06d65b1a1487c6ba6f63b08605a2b9be13462e98");
}

TEST_CASE("git objects: no files make git's empty tree", "[model]") {
  CHECK(git_trees({})->at("") == "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
}

TEST_CASE("git objects: a large file stands in the tree by its pointer", "[model]") {
  auto file = entry("x.bin", 12, kPayload);
  CHECK(lfs_pointer(file.blob, file.size).size() == 127);
  CHECK(git_object_name(file) == "4803d7e5becc0fc5f933f6fc5f49c03d397f2dab");
}

TEST_CASE("git objects: one path cannot be a file and a folder", "[model]") {
  const char* blob = "b68025345d5301abad4d9ec9166f455243a0d746";
  auto trees = git_trees({entry("a/b", 2, blob), entry("a", 2, blob), entry("a-c", 2, blob)});
  REQUIRE_FALSE(trees);
  CHECK(trees.error().code() == Errc::corrupt);
  CHECK_FALSE(git_trees({entry("a", 2, blob), entry("a", 2, blob)}));
}

TEST_CASE("git objects: binaries by name, size or content go to large-file storage", "[model]") {
  struct Row {
    const char* path;
    std::uint64_t size;
    std::string head;
    Storage storage;
  };
  auto row = GENERATE(values<Row>({
      {"build/x/_ops.abi3.so", 3, "txt", Storage::lfs},
      {"build/x/w.bin", 3, "txt", Storage::lfs},
      {"build/x/empty.so", 0, "", Storage::git},
      {"build/x/a.py", 10, "print(1)\n", Storage::git},
      {"build/x/so", 3, "txt", Storage::git},
      {"build/x/big.json", (10ULL << 20) + 1, "{", Storage::lfs},
      {"build/x/large.json", 10ULL << 20, "{", Storage::git},
      {"build/x/odd.txt", 4, std::string("a\0b\n", 4), Storage::lfs},
      {"build/x/late.txt", 9000, std::string(kTextProbe, 'a') + std::string(1, '\0'), Storage::git},
  }));
  CAPTURE(row.path);
  CHECK(storage_for(*RepoPath::parse(row.path), row.size, row.head) == row.storage);
}
