#include <fstream>

#include <nlohmann/json.hpp>

#include "kernels/base/file.h"

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// A world with two locked kernels, and a bundle of all their variants in the project's folder.
struct BundleWorld : World {
  BundleWorld() {
    publish_simple("relu");
    publish_simple("norm");
    project("[dependencies]\n\"acme/relu\" = 1\n\"acme/norm\" = 1\n");
    REQUIRE(kernels({"lock"}).status == 0);
    auto made = kernels({"download", "--all-variants", "--bundle", "k.tar.zst"});
    INFO(made.err);
    REQUIRE(made.status == 0);
    CHECK_THAT(made.out, contains("Packed 16 files"));
    hub->forget_seen();
  }
  /// Runs on another machine: another cache, and no Hub.
  Outcome elsewhere(std::vector<std::string> arguments) {
    return kernels(std::move(arguments), {.environment = {{"HF_HUB_CACHE", (temp / "other").string()},
                                                          {"HF_ENDPOINT", "http://127.0.0.1:1"}}});
  }
};

}  // namespace

TEST_CASE("bundle: packed on one machine, imported on another without a request, used there offline",
          "[cli]") {
  BundleWorld world;
  auto taken = world.elsewhere({"import", "k.tar.zst"});
  INFO(taken.err);
  REQUIRE(taken.status == 0);
  CHECK_THAT(taken.out, contains("Imported and verified 2 kernels, 4 variants, 16 files"));
  auto download = world.elsewhere({"download", "--offline", "--all-variants"});
  INFO(download.err);
  CHECK(download.status == 0);
  CHECK_THAT(download.out, contains("Everything is in the cache"));
  auto check = world.elsewhere({"check", "--offline"});
  CHECK_THAT(check.out, contains("acme/relu v1"));
  CHECK_THAT(check.out, !contains("missing"));
  CHECK(world.hub->seen().empty());
  // Both caches hold the same, down to the links.
  for (const auto& file : World::files_below(world.cache())) {
    if (!file.starts_with("kernels--")) continue;
    CAPTURE(file);
    auto here = world.cache() / file;
    auto there = world.temp / "other" / file;
    if (fs::is_symlink(here))
      CHECK(fs::read_symlink(here) == fs::read_symlink(there));
    else
      CHECK(*kernels::read_file(here) == *kernels::read_file(there));
  }
}

TEST_CASE("bundle: two caches, two folders, one processor or more: the same bytes", "[cli]") {
  BundleWorld world;
  auto again = world.kernels({"download", "--all-variants", "--bundle", "again.tar.zst"},
                             {.environment = {{"HF_HUB_CACHE", (world.temp / "third").string()}}});
  INFO(again.err);
  REQUIRE(again.status == 0);
  CHECK(world.read("again.tar.zst") == world.read("k.tar.zst"));
  auto one =
      run_program({"/usr/bin/env", "taskset", "-c", "0", KERNELS_PROGRAM, "download", "--all-variants",
                   "--bundle", "one.tar.zst", "--offline"},
                  {.folder = world.folder(), .environment = {{"HF_HUB_CACHE", world.cache().string()}}});
  INFO(one.err);
  REQUIRE(one.status == 0);
  CHECK(world.read("one.tar.zst") == world.read("k.tar.zst"));
}

TEST_CASE("bundle: only what was asked for is in it", "[cli]") {
  BundleWorld world;
  REQUIRE(world.kernels({"download", "--variant", "tvm-ffi01-cpu-x86_64-linux", "--bundle", "cpu.tar.zst"})
              .status == 0);
  auto listed = json::parse(world.elsewhere({"bundle", "ls", "cpu.tar.zst", "--json"}).out);
  CHECK(listed["schema"] == "kernels.bundle-contents/1");
  CHECK(listed["verified"] == false);
  REQUIRE(listed["kernels"].size() == 2);
  for (const auto& kernel : listed["kernels"]) {
    REQUIRE(kernel["variants"].size() == 1);
    CHECK(kernel["variants"][0]["name"] == "tvm-ffi01-cpu-x86_64-linux");
    CHECK(kernel["files"].size() == 4);
  }
  REQUIRE(world.elsewhere({"import", "cpu.tar.zst"}).status == 0);
  CHECK(world.elsewhere({"download", "--offline", "--variant", "tvm-ffi01-cpu-x86_64-linux"}).status == 0);
  CHECK(world.elsewhere({"download", "--offline", "--all-variants"}).status == 3);
}

TEST_CASE("bundle: ls and verify say what is in it, and write nothing", "[cli]") {
  BundleWorld world;
  auto ls = world.elsewhere({"bundle", "ls", "k.tar.zst"});
  CHECK(ls.status == 0);
  for (const char* part :
       {"KERNEL", "acme/norm", "acme/relu", "tvm-ffi01-cu130-x86_64-linux", "2 kernels, 4 variants"})
    CHECK_THAT(ls.out, contains(part));
  auto files = world.elsewhere({"bundle", "ls", "k.tar.zst", "--files"});
  CHECK_THAT(files.out, contains("build/tvm-ffi01-cpu-x86_64-linux/_relu.so"));
  auto verify = world.elsewhere({"bundle", "verify", "k.tar.zst"});
  CHECK(verify.status == 0);
  CHECK_THAT(verify.out, contains("Every byte is as"));
  auto verified = json::parse(world.elsewhere({"bundle", "verify", "k.tar.zst", "--json"}).out);
  CHECK(verified["verified"] == true);
  CHECK(verified["files"] == 16);
  CHECK_FALSE(fs::exists(world.temp / "other"));
}

TEST_CASE("bundle: -v says how the process that unpacks is confined", "[cli]") {
  BundleWorld world;
  auto run = world.elsewhere({"-v", "bundle", "verify", "k.tar.zst"});
  CHECK_THAT(run.err, contains("in a process of its own: "));
  auto report = json::parse(world.elsewhere({"bundle", "verify", "k.tar.zst", "--json"}).out);
  CHECK((report["confinement"]["seccomp"] == true || report["confinement"]["landlock"] == 0));
}

TEST_CASE("bundle: a damaged one ends with 4 and one line, and leaves nothing", "[cli]") {
  BundleWorld world;
  auto bytes = world.read("k.tar.zst");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  put(world.folder() / "bad.tar.zst", bytes);
  put(world.folder() / "cut.tar.zst", bytes.substr(0, bytes.size() / 3));
  put(world.folder() / "text.tar.zst", "not a bundle\n");
  for (const char* file : {"bad.tar.zst", "cut.tar.zst", "text.tar.zst"}) {
    for (std::vector<std::string> command : {std::vector<std::string>{"import"}, {"bundle", "verify"}}) {
      command.emplace_back(file);
      auto run = world.elsewhere(command);
      INFO(run.err);
      CHECK(run.status == 4);
      auto line = run.err.substr(0, run.err.find('\n'));
      for (const std::string& part :
           {std::string(file), std::string(": expected "), std::string(", found "), std::string("(rule ")})
        CHECK_THAT(line, contains(part));
    }
  }
  CHECK(World::files_below(world.temp / "other").empty());
}

TEST_CASE("bundle: import and download say what they need when they are called in the wrong way", "[cli]") {
  BundleWorld world;
  CHECK(world.elsewhere({"import", "k.tar.zst", "--repo-id", "acme/relu"}).status == 2);
  auto folder = world.elsewhere({"import", "."});
  CHECK(folder.status == 2);
  CHECK_THAT(folder.err, contains("--repo-id"));
  CHECK(world.elsewhere({"import", "nothing.tar.zst"}).status == 1);
  CHECK(world.elsewhere({"bundle", "ls", "nothing.tar.zst"}).status == 1);
  CHECK(world.kernels({"download", "--dry-run", "--bundle", "x.tar.zst"}).status == 2);
  auto nowhere = world.kernels({"download", "--all-variants", "--bundle", "no/such/folder/x.tar.zst"});
  CHECK(nowhere.status == 5);
  CHECK_THAT(nowhere.err, contains("no/such/folder/x.tar.zst"));
}

TEST_CASE("bundle: a blob that was damaged in the cache is not packed", "[cli]") {
  BundleWorld world;
  auto relu = world.cache() / "kernels--acme--relu/blobs";
  for (const auto& entry : fs::directory_iterator(relu)) {
    auto size = entry.file_size();
    auto time = fs::last_write_time(entry.path());
    std::ofstream(entry.path(), std::ios::binary) << std::string(size, '?');
    fs::last_write_time(entry.path(), time);
  }
  // Online it is seen and fetched again; offline it cannot be, no request is made, and nothing is packed.
  auto offline = world.kernels({"download", "--all-variants", "--offline", "--bundle", "bad.tar.zst"});
  CHECK(offline.status == 4);
  CHECK(world.hub->seen().empty());
  CHECK_FALSE(fs::exists(world.folder() / "bad.tar.zst"));
  REQUIRE(world.kernels({"download", "--all-variants", "--bundle", "good.tar.zst"}).status == 0);
  CHECK(world.read("good.tar.zst") == world.read("k.tar.zst"));
}
