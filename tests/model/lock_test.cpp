#include "kernels/model/lock.h"

#include "make_lock.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::test;
using kernels::test::contains;

namespace {

const char* const kCommit = "0123456789abcdef0123456789abcdef01234567";

LockedVariant vector_variant() {
  LockedVariant variant;
  variant.name = "torch-cpu";
  for (auto [name, blob] :
       {std::pair{"sub/data.bin", "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a"},
        {"__init__.py", "084c3e1d6a96eabac9160729d1a393352a0bf096"},
        {"_ops.py", "b15b1b0797d64623135bb2d04a67bae078fa44c2"},
        {"layers.py", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
        {"metadata.json", "4aeabd69be98e4346fdb65179b3da424e767a6be"},
        {"sub-x.txt", "a2544f7ec3007899167de1fef481a5a0fd63fa41"},
        {"sub.txt", "a2373c722dedbf05f6669eba1ea044484213d03d"},
        {"z.txt", "b68025345d5301abad4d9ec9166f455243a0d746"},
        {"é.txt", "1790b5177aa5b07b7eaaa219eecfc864c7120a56"}})
    variant.files.push_back(file_entry(std::string("build/torch-cpu/") + name, blob));
  return variant;
}

std::string v2_entry(const std::string& dependency, const std::string& commit) {
  return R"({"dependency": )" + dependency + R"(, "lock": {"commit": ")" + commit + R"("}})";
}

}  // namespace

TEST_CASE("lock v1: the bytes that the Python package writes", "[model]") {
  auto kernel = locked_kernel("acme/relu", Requirement::of_version(1), *Commit::parse(kCommit));
  kernel.variants = {vector_variant()};
  auto text = render_lock({.kernels = {kernel}, .layers = {}}, LockForm::v1);
  CHECK(text.size() == 276);
  CHECK(sha256_hex(text) == "37fe5f9ce40391ff18cf7de59f91a3f58a0cef18ba791cf43afaf60493cc56ee");
}

TEST_CASE("lock v1: direct kernels in their order, variants that begin with torch, escapes for the rest",
          "[model]") {
  auto first = locked_kernel("z/z", Requirement::of_version(1), commit_of('1'));
  auto second = locked_kernel("a/a", Requirement::of_version(1), commit_of('2'));
  auto indirect = locked_kernel("b/b", Requirement::of_version(1), commit_of('3'));
  indirect.direct = false;
  LockedVariant tvm;
  tvm.name = "tvm-ffi01-cpu-x86_64-linux";
  LockedVariant odd;
  odd.name = "torch-é";
  second.variants = {tvm, odd};
  auto text = render_lock({.kernels = {first, indirect, second}, .layers = {}}, LockForm::v1);
  CHECK(text == "[\n  {\n    \"repo_id\": \"z/z\",\n    \"sha\": \"" + std::string(40, '1') +
                    "\",\n    \"variants\": {}\n  },\n  {\n    \"repo_id\": \"a/a\",\n    \"sha\": \"" +
                    std::string(40, '2') +
                    "\",\n    \"variants\": {\n      \"torch-\\u00e9\": {\n        \"hash\": "
                    "\"sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\n        "
                    "\"hash_type\": "
                    "\"git_lfs_concat\"\n      }\n    }\n  }\n]");
}

TEST_CASE("lock v2: the bytes that the Python package writes, sorted, versions before revisions", "[model]") {
  auto kernel = [](const char* repo, Requirement requirement, Commit commit) {
    return locked_kernel(repo, std::move(requirement), std::move(commit));
  };
  Lock lock;
  lock.kernels = {kernel("beta/x", Requirement::of_version(10), commit_of('a')),
                  kernel("beta/x", Requirement::of_version(2), commit_of('b')),
                  kernel("beta/x", Requirement::of_revision("main"), commit_of('c')),
                  kernel("beta/x", Requirement::of_revision("Dev"), commit_of('d')),
                  kernel("acme/relu", Requirement::of_version(1), commit_of('e')),
                  kernel("Acme/z", Requirement::of_version(1), commit_of('f', 64))};
  lock.kernels.back().direct = false;
  auto entry = [](const std::string& repo, const std::string& wanted, const Commit& commit) {
    return "  {\n    \"dependency\": {\n      \"repo-id\": \"" + repo + "\",\n      " + wanted +
           "\n    },\n    \"lock\": {\n      \"commit\": \"" + commit.str() + "\"\n    }\n  }";
  };
  CHECK(render_lock(lock, LockForm::v2) ==
        "[\n" + entry("Acme/z", "\"version\": 1", commit_of('f', 64)) + ",\n" +
            entry("acme/relu", "\"version\": 1", commit_of('e')) + ",\n" +
            entry("beta/x", "\"version\": 2", commit_of('b')) + ",\n" +
            entry("beta/x", "\"version\": 10", commit_of('a')) + ",\n" +
            entry("beta/x", "\"revision\": \"Dev\"", commit_of('d')) + ",\n" +
            entry("beta/x", "\"revision\": \"main\"", commit_of('c')) + "\n]");
  CHECK(render_lock({}, LockForm::v2) == "[]");
  CHECK(render_lock({}, LockForm::v1) == "[]");
}

TEST_CASE("lock v2: a specifier is written as the tag that it chose, once", "[model]") {
  auto by_set =
      locked_kernel("acme/relu", Requirement::of_specifier(*SpecifierSet::parse(">=0.0.2")), commit_of('a'));
  by_set.ref = "v0.0.3";
  by_set.ref_is_tag = true;
  auto by_tag = locked_kernel("acme/relu", Requirement::of_revision("v0.0.3"), commit_of('a'));
  auto pins =
      parse_lock(render_lock({.kernels = {by_set, by_tag}, .layers = {}}, LockForm::v2), "kernels.lock");
  REQUIRE(pins);
  REQUIRE(pins->pins.size() == 1);
  CHECK(pins->pins[0].requirement->display() == "revision v0.0.3");
}

TEST_CASE("lock: the two forms are told apart and read", "[model]") {
  auto v1 = parse_lock(
      std::string(R"([{"repo_id": "acme/relu", "sha": ")") + kCommit +
          R"(", "extra": 1, "variants": {"torch-cpu": {"hash": "sha256-x", "hash_type": "other"}}}])",
      "kernels.lock");
  REQUIRE(v1);
  CHECK(v1->form == LockForm::v1);
  REQUIRE(v1->pins.size() == 1);
  CHECK(v1->pins[0].variant_hashes ==
        std::vector<std::pair<std::string, std::string>>{{"torch-cpu", "sha256-x"}});
  CHECK_FALSE(v1->pins[0].requirement);
  auto v2 = parse_lock(
      "[" + v2_entry(R"({"repo-id": "acme/relu", "version": 1})", kCommit) + "," +
          v2_entry(R"({"repo-id": "acme/relu", "version": null, "revision": "main"})", std::string(64, 'f')) +
          "]",
      "kernels.lock");
  REQUIRE(v2);
  CHECK(v2->form == LockForm::v2);
  REQUIRE(v2->pins.size() == 2);
  CHECK(*v2->pins[0].requirement->version() == 1);
  CHECK(*v2->pins[1].requirement->revision() == "main");
  CHECK(parse_lock("[]", "kernels.lock")->pins.empty());
}

TEST_CASE("lock v1: what the Python reader accepts is accepted", "[model]") {
  const auto* variants = GENERATE(R"({})", R"({"torch-cpu": {"hash": "x"}})",
                                  R"({"torch-cpu": {"hash": "x", "hash_type": "y"}})");
  CAPTURE(variants);
  CHECK(parse_lock(
      std::string(R"([{"repo_id": "a/b", "sha": ")") + kCommit + R"(", "variants": )" + variants + "}]",
      "l"));
}

TEST_CASE("lock: whatever is broken is refused, with the entry", "[model]") {
  const std::string sha = kCommit;
  auto v1 = [&](const std::string& rest) {
    return R"([{"repo_id": "a/b", "sha": ")" + sha + "\"" + rest + "}]";
  };
  auto v2 = [&](const std::string& dependency) { return "[" + v2_entry(dependency, sha) + "]"; };
  struct Row {
    std::string json;
    const char* in_error;
  };
  std::vector<Row> rows = {
      {"", "not valid JSON"},
      {"[", "not valid JSON"},
      {"{}", "should hold a list"},
      {"null", "should hold a list"},
      {"[1]", "entry 1 of kernels.lock"},
      {"[{}]", "`dependency` should be an object, but is missing"},
      {"<<<<<<< ours\n[]\n=======\n[{}]\n>>>>>>> theirs\n", "merge-conflict markers"},
      {v1(""), "`variants` should be an object, but is missing"},
      {v1(R"(, "variants": {"t": {}})"), "`hash` should be a string, but is missing"},
      {v1(R"(, "variants": {"t": {"hash": 1}})"), "`hash` should be a string"},
      {v1(R"(, "variants": {"t": {"hash": "x", "size": 1}})"), "unknown key `size`"},
      {v1(R"(, "variants": {}}, {"dependency": {})"), "entry 2 of kernels.lock"},
      {v1(R"(, "variants": {}}, {"repo_id": "a/b", "sha": ")" + sha + R"(", "variants": {})"),
       "locks `a/b` twice"},
      {R"([{"repo_id": "a/b", "sha": "0123", "variants": {}}])", "`0123` is not a commit"},
      {R"([{"repo_id": "a/b", "sha": null, "variants": {}}])", "`sha` should be a string"},
      {R"([{"repo_id": "../b", "sha": ")" + sha + R"(", "variants": {}}])", "is not a repository name"},
      {R"([{"repo_id": "a/b", "repo_id": "a/c"}])", "`repo_id` is given twice"},
      {v2(R"({"repo-id": "a/b"})"), "exactly one of"},
      {v2(R"({"repo-id": "a/b", "version": 1, "revision": "x"})"), "exactly one of"},
      {v2(R"({"repo-id": "a/b", "version": -1})"), "`version` should be a whole number"},
      {v2(R"({"repo-id": "a/b", "version": "1"})"), "`version` should be a whole number"},
      {v2(R"({"repo-id": "a/b", "specifier": ">=1"})"), "unknown key `specifier`"},
      {v2(R"({"repo-id": "a/b", "revision": "../x"})"), "is not a revision"},
      {v2(R"({"repo-id": "a/b", "version": 1, "vers": 1})"), "unknown key `vers`"},
      {"[" + v2_entry(R"({"repo-id": "a/b", "version": 1})", "xyz") + "]", "`xyz` is not a commit"},
      {R"([{"dependency": {"repo-id": "a/b", "version": 1}, "lock": {"commit": ")" + sha +
           R"(", "hash": "x"}}])",
       "unknown key `hash`"},
      {R"([{"dependency": {"repo-id": "a/b", "version": 1}, "lock": {"commit": ")" + sha +
           R"("}, "note": 1}])",
       "unknown key `note`"},
      {"[" + v2_entry(R"({"repo-id": "a/b", "version": 1})", sha) + "," +
           v2_entry(R"({"repo-id": "a/b", "version": 1})", sha) + "]",
       "locks `a/b` twice"},
      {"[" + v2_entry(R"({"repo-id": "a/b", "version": 1})", sha) + R"(, {"repo_id": "a/c"}])",
       "entry 2 of kernels.lock"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.json);
    auto pins = parse_lock(row.json, "kernels.lock");
    REQUIRE_FALSE(pins);
    CHECK(pins.error().code() == Errc::corrupt);
    CHECK_THAT(describe(pins.error()), contains(row.in_error));
    CHECK_THAT(describe(pins.error()), contains("kernels.lock"));
  }
}

TEST_CASE("lock: nothing but the list may follow or precede it", "[model]") {
  CHECK_FALSE(parse_lock("[] []", "l"));
  CHECK_FALSE(parse_lock("[],", "l"));
  CHECK(parse_lock(" \n[]\n", "l"));
}

TEST_CASE("variant hash: the small vector, where a large file counts by the hash of its content", "[model]") {
  CHECK(variant_hash({file_entry("build/torch-cpu/sub/data.bin",
                                 "1a5fa0dce094bc388a6a893ed466a73e9d50110ee520291ea504cd81dc07042a"),
                      file_entry("build/torch-cpu/__init__.py", "084c3e1d6a96eabac9160729d1a393352a0bf096")},
                     "build/torch-cpu") ==
        "sha256-ad5a2e6b56a3dc9de2860fe9cf6ce1b512d69e54ea0273448b091686ecdca736");
}

TEST_CASE("lock diff: one line for every change, none for none", "[model]") {
  auto relu = locked_kernel("acme/relu", Requirement::of_version(1), commit_of('a'));
  auto gone = locked_kernel("acme/gone", Requirement::of_version(1), commit_of('b'));
  auto come = locked_kernel("acme/new", Requirement::of_revision("main"), commit_of('c'));
  LockedVariant cpu;
  cpu.name = "torch-cpu";
  cpu.files = {file_entry("build/torch-cpu/x", std::string(40, '1'))};
  LockedVariant cuda = cpu;
  cuda.name = "torch-cuda";
  relu.variants = {cpu};
  LockedLayer layer{.layer = "Silu",
                    .device = DeviceType::cuda,
                    .mode = Mode::inference,
                    .capabilities = {.min = 75, .max = 90},
                    .repo = relu.repo,
                    .commit = relu.commit,
                    .kernel_layer = "SiluAndMul"};
  Lock before{.kernels = {relu, gone}, .layers = {layer}};
  CHECK(diff_locks(before, before).empty());
  auto moved = relu;
  moved.commit = commit_of('d');
  moved.ref = "v2";
  moved.trust = TrustSource::project;
  moved.variants = {cuda, cpu};
  moved.variants[1].files = {};
  Lock after{.kernels = {come, moved}, .layers = {}};
  CHECK(diff_locks(before, after) ==
        std::vector<std::string>{
            "+ acme/new (revision main) at cccccccccccc",
            "~ acme/relu (version 1): aaaaaaaaaaaa -> dddddddddddd", "~ acme/relu (version 1): v1 -> v2",
            "~ acme/relu (version 1): trusted by hub -> project", "  + variant torch-cuda",
            "  ~ variant torch-cpu: its files changed", "- acme/gone (version 1)",
            "- layer Silu on cuda for inference capability 75-90: SiluAndMul of acme/relu at aaaaaaaaaaaa"});
  auto back = diff_locks({.kernels = {moved}, .layers = {}}, {.kernels = {relu}, .layers = {layer}});
  CHECK(std::ranges::count(back, "  - variant torch-cuda") == 1);
  CHECK(back.back().starts_with("+ layer Silu"));
}

TEST_CASE("json: a key given twice is found in small and in large objects", "[model]") {
  for (int count : {1, 15, 16, 17, 18, 1000}) {
    std::string members;
    for (int i = 0; i < count; ++i)
      members += "\"k" + std::to_string(i) + "\":1,";
    auto last = "\"k" + std::to_string(count - 1) + "\":1";
    auto twice = parse_lock("[{" + members + last + "}]", "kernels.lock");
    REQUIRE_FALSE(twice);
    CHECK_THAT(twice.error().text(), contains("is given twice"));
    auto once = parse_lock("[{" + members + "\"other\":1}]", "kernels.lock");
    REQUIRE_FALSE(once);
    CHECK_THAT(once.error().text(), !contains("is given twice"));
  }
}
