// What a Hub, or whoever speaks for it, can say about a repository.

#include <filesystem>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "victim.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const std::string kSha1(40, 'a');
const std::string kSha256(64, 'b');

json entry(const std::string& path, const json& changes = {}) {
  json out = {{"type", "file"}, {"oid", kSha1}, {"size", 3}, {"path", path}};
  if (!changes.is_null()) out.update(changes);
  return out;
}

/// What `lock` says to a listing; whatever it is, nothing is written.
Outcome lock_listing(const std::string& listing) {
  World world;
  world.publish_simple("relu");
  world.project(kOne);
  world.hub->add({.path_pattern = "/tree/", .lie = lie::json_garbage(listing)});
  auto run = world.kernels({"lock"}, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}});
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
  CHECK(World::files_below(world.cache()).empty());
  return run;
}

void check_refused(const std::vector<json>& listing, const std::string& said, int status = 4) {
  auto run = lock_listing(json(listing).dump(-1, ' ', false, json::error_handler_t::replace));
  INFO(run.err);
  CHECK(run.status == status);
  CHECK(has(run.err, said));
  CHECK(has(run.err, "while locking `acme/relu`"));
}

const std::string kBuild = "build/" + kVariant + "/";

/// A kernel whose metadata has a digest; `change` turns what was published into what the digest does not say.
struct Digested : World {
  explicit Digested(const std::string& algorithm, const json& files,
                    std::map<std::string, std::string> more = {}) {
    std::map<std::string, std::string> content = {{"__init__.py", "# x\n"},
                                                  {"_relu.so", cpu_library("relu")}};
    content.merge(more);
    json metadata = {{"name", "relu"},
                     {"id", "_relu_x"},
                     {"version", 1},
                     {"license", "MIT"},
                     {"python-depends", json::array()},
                     {"kernel-depends", json::array()},
                     {"backend", {{"type", "cpu"}}},
                     {"digest", {{"algorithm", algorithm}, {"files", files}}}};
    content["metadata.json"] = metadata.dump();
    commit = publish({.repo = "acme/relu", .variants = {{kVariant, content}}});
    project(kOne);
    auto locked = kernels({"lock"});
    INFO(locked.err);
    REQUIRE(locked.status == 0);
  }
  static std::string digest(const std::string& content, kernels::HashAlgorithm algorithm) {
    kernels::Hasher hasher(algorithm);
    hasher.update(content);
    return kernels::to_base64(hasher.finish());
  }
  static json right(kernels::HashAlgorithm algorithm) {
    return {{"__init__.py", digest("# x\n", algorithm)},
            {"_relu.so", digest(cpu_library("relu"), algorithm)}};
  }
  std::filesystem::path variant() const {
    return cache() / "kernels--acme--relu/snapshots" / commit / "build" / kVariant;
  }
  std::string commit;
};

}  // namespace

TEST_CASE("attack 26: a name with a parent folder is refused", "[attacks]") {
  auto name = GENERATE(as<std::string>{}, "../../etc/passwd", "build/../../x", "build/a/..", "build/./a");
  check_refused({entry(name)}, "is not allowed");
}

TEST_CASE("attack 27: an absolute name is refused", "[attacks]") {
  check_refused({entry("/etc/passwd")}, "a segment is empty");
  check_refused({entry("//host/share")}, "a segment is empty");
}

TEST_CASE("attack 28: a zero byte in a name is refused", "[attacks]") {
  check_refused({entry(std::string("build/a\0.py", 11))}, "control characters are not allowed");
}

TEST_CASE("attack 29: backslashes, drives and network shares are refused", "[attacks]") {
  check_refused({entry("build\\..\\..\\x")}, "backslashes");
  check_refused({entry("\\\\host\\share")}, "backslashes");
  check_refused({entry("C:/Windows/x")}, "a drive letter is not allowed");
  check_refused({entry("build/c:x")}, "a drive letter is not allowed");
}

TEST_CASE("attack 30: names that differ only in letter case are refused", "[attacks]") {
  check_refused({entry(kBuild + "Ops.py"), entry(kBuild + "ops.py")},
                "would be the same file on some machines");
}

TEST_CASE("attack 31: two spellings of one accent are two files, each with its own bytes", "[attacks]") {
  World world;
  world.publish(
      {.repo = "acme/relu",
       .variants = {
           {kVariant,
            {{"__init__.py", "x\n"}, {"\xc3\xa9.txt", "composed\n"}, {"e\xcc\x81.txt", "decomposed\n"}}}}});
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download"}).status == 0);
  check_cache_is_valid(world);
  CHECK(world.kernels({"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"}).status != 4);
}

TEST_CASE("attack 32: a name longer than a file system takes is refused", "[attacks]") {
  check_refused({entry(kBuild + std::string(256, 'x'))}, "longer than 255 bytes");
  std::string deep = "build";
  for (int i = 0; i < 60; ++i)
    deep += "/" + std::string(100, 'd');
  check_refused({entry(deep)}, "longer than 4096 bytes");
}

TEST_CASE("attack 33: a name with too many folders is refused", "[attacks]") {
  std::string deep = "build";
  for (int i = 0; i < 64; ++i)
    deep += "/d";
  check_refused({entry(deep)}, "deeper than 64 folders");
}

TEST_CASE("attack 34: one name for a file and a folder, or for two files, is refused", "[attacks]") {
  check_refused({entry(kBuild + "a"), entry(kBuild + "a-b"), entry(kBuild + "a/b.py")},
                "one is a folder of the other");
  check_refused({entry(kBuild + "a"), entry(kBuild + "A/b.py")}, "one is a folder of the other");
  check_refused({entry(kBuild + "a"), entry(kBuild + "a", {{"oid", std::string(40, 'c')}})}, "same file");
}

TEST_CASE("attack 35: compiled Python is neither locked nor downloaded", "[attacks]") {
  World world;
  world.publish_simple("relu");
  world.project(kOne);
  json listing =
      json::array({entry(kBuild + "__init__.py"), entry(kBuild + "__pycache__/__init__.cpython-312.pyc"),
                   entry(kBuild + "x.pyc")});
  world.hub->add({.path_pattern = "/tree/", .lie = lie::json_garbage(listing.dump())});
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(has(world.read("kernels.sum"), "__init__.py"));
  CHECK_FALSE(has(world.read("kernels.sum"), ".pyc"));
}

TEST_CASE("attack 37: a branch that moves after it was locked changes nothing", "[attacks]") {
  Victim victim;
  auto moved = victim.publish_simple("relu", 1, "moved");
  REQUIRE(moved != victim.commit);
  REQUIRE(victim.download().status == 0);
  for (const auto& request : victim.hub->seen())
    CHECK(has(request.target, "/resolve/" + victim.commit + "/"));
  CHECK(std::filesystem::exists(victim.variant()));
  check_cache_is_valid(victim);
}

TEST_CASE("attack 38: a tag with the name of a version does not stand for its branch", "[attacks]") {
  World world;
  auto commit = world.publish_simple("relu");
  world.project(kOne);
  json refs = {{"branches", {{{"name", "v1"}, {"ref", "refs/heads/v1"}, {"targetCommit", commit}}}},
               {"tags", {{{"name", "v1"}, {"ref", "refs/tags/v1"}, {"targetCommit", std::string(40, 'e')}}}},
               {"converts", json::array()}};
  world.hub->add({.path_pattern = "/refs$", .lie = lie::json_garbage(refs.dump())});
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(has(world.read("kernels.lock"), commit));
  CHECK_FALSE(has(world.read("kernels.lock"), std::string(40, 'e')));
}

TEST_CASE("attack 40: a file without a SHA-256 is held to its hash in git", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "__init__.py", .lie = lie::flipped_at(1)});
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "was locked"));
  check_nothing_was_kept(victim, Partial::allowed);
  auto unhashed = entry(kBuild + "x.so");
  unhashed.erase("oid");
  check_refused({unhashed}, "`oid` should be a string, but is missing", 3);
}

TEST_CASE("attack 41: a hash that is none is refused before it becomes a file name", "[attacks]") {
  for (const char* oid : {"../../../x", "", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "abc", "g"}) {
    CAPTURE(oid);
    check_refused({entry(kBuild + "x.py", {{"oid", oid}})}, "is not a hash");
  }
  check_refused({entry(kBuild + "x.so", {{"lfs", {{"oid", kSha1}, {"size", 3}}}})}, "is not a hash");
}

TEST_CASE("attack 42: a size that cannot be is refused before space is made for it", "[attacks]") {
  check_refused({entry(kBuild + "x", {{"size", 9223372036854775807LL}})}, "over the limit");
  check_refused({entry(kBuild + "x", {{"size", 18446744073709551615ULL}})}, "over the limit");
  check_refused({entry(kBuild + "x", {{"lfs", {{"oid", kSha256}, {"size", 60'000'000'000}}}})},
                "over the limit");
  check_refused({entry(kBuild + "x", {{"size", -1}})}, "`size`", 3);
}

TEST_CASE("attack 43: a listing without an end is refused", "[attacks]") {
  World world;
  world.publish_simple("relu");
  world.project(kOne);
  Lie again = lie::json_garbage(json::array({entry(kBuild + "__init__.py")}).dump());
  again.headers.emplace_back("Link", "<{url}{target}&cursor=x>; rel=\"next\"");
  world.hub->add({.path_pattern = "/tree/", .lie = again});
  auto run = world.kernels({"lock"});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "the listing of `acme/relu` does not end"));
  CHECK(world.hub->count("GET", "/tree/") < 5);
  // Forty million entries in one answer: it is over the limit of any answer before they are all there.
  std::string page = "[";
  while (page.size() < (33U << 20U))
    page += "{},";
  world.hub->clear_faults();
  world.hub->add({.path_pattern = "/tree/", .lie = lie::json_garbage(page + "{}]")});
  auto huge = world.kernels({"lock"}, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}});
  INFO(huge.err);
  CHECK(huge.status == 3);
  CHECK(has(huge.err, "longer than"));
}

TEST_CASE("attack 44: a listing that goes on at another host is refused", "[attacks]") {
  World world;
  world.publish_simple("relu");
  world.project(kOne);
  FaultyHub other(world.server->port());
  Lie elsewhere = lie::json_garbage(json::array({entry(kBuild + "__init__.py")}).dump());
  elsewhere.headers.emplace_back("Link", "<" + other.url() + "{target}>; rel=\"next\"");
  world.hub->add({.path_pattern = "/tree/", .lie = elsewhere});
  auto run = world.kernels({"lock"}, {.environment = {{"HF_TOKEN", "hf_canary"}}});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "goes on at another host"));
  CHECK(other.seen().empty());
}

TEST_CASE("attack 45: a variant with other, missing or further files than its digest is not published",
          "[attacks]") {
  using kernels::HashAlgorithm;
  struct Row {
    const char* name;
    json changes;
    const char* said;
  };
  bool is_512 = GENERATE(false, true);
  auto algorithm = is_512 ? HashAlgorithm::sha512 : HashAlgorithm::sha256;
  const char* word = is_512 ? "sha512" : "sha256";
  CAPTURE(word);
  auto other = Digested::digest("other", algorithm);
  for (const auto& row : {Row{"another library", {{"_relu.so", other}}, "`_relu.so` has other bytes"},
                          Row{"another text", {{"__init__.py", other}}, "`__init__.py` has other bytes"},
                          Row{"missing", {{"gone.py", other}}, "`gone.py` is missing"},
                          Row{"unknown", {{"__init__.py", nullptr}}, "`__init__.py` is not named"}}) {
    CAPTURE(row.name);
    auto files = Digested::right(algorithm);
    files.merge_patch(row.changes);
    Digested world(word, files);
    auto run = world.kernels({"download"});
    INFO(run.err);
    CHECK(run.status == 4);
    CHECK(has(run.err, row.said));
    CHECK(has(run.err, "`build/" + kVariant + "` of `acme/relu`"));
    check_nothing_was_kept(world);
    for (const auto& file : World::files_below(world.cache()))
      CHECK_FALSE(has(file, "/blobs/"));
    // A run that finds the blobs there already says the same.
    CHECK(world.kernels({"download"}).status == 4);
  }
  Digested good(word, Digested::right(algorithm));
  auto run = good.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(good.kernels({"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"}).status == 0);
}

TEST_CASE("attack 45: what lies in a variant beside its locked files is found by `check`", "[attacks]") {
  using kernels::HashAlgorithm;
  Digested world("sha256", Digested::right(HashAlgorithm::sha256));
  REQUIRE(world.kernels({"download"}).status == 0);
  auto check = [&] { return world.kernels({"check", "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"}); };
  REQUIRE(check().status == 0);
  int kind = GENERATE(0, 1, 2, 3);
  std::filesystem::path planted = world.variant() / "planted";
  std::filesystem::create_directories(world.temp / "evil");
  put(world.temp / "evil/__init__.py", "evil = True\n");
  if (kind == 0) put(planted, "import os\n");
  if (kind == 1)
    std::filesystem::create_directory_symlink(world.temp / "evil", planted);  // Python follows it
  if (kind == 2) std::filesystem::create_symlink("nowhere", planted);
  if (kind == 3) REQUIRE(::mkfifo(planted.c_str(), 0600) == 0);
  auto run = check();
  INFO(run.out);
  CHECK(run.status == 4);
  CHECK(has(run.out, "planted"));
  // The folder alone, as one that was built here, is looked at in the same way.
  CHECK(world.kernels({"check", world.variant().string(), "--target", "os=linux,cpu=x86_64,tvm-ffi=0.1"})
            .status == 4);
}
