#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

TEST_CASE("variants: JSON has the shape that others build on", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.publish({.repo = "acme/relu", .version = 2, .variants = {{"torch-cuda", {{"__init__.py", "x\n"}}}}});
  auto run = world.kernels(
      {"variants", "acme/relu", "--all-versions", "--json", "--target", "os=linux,cuda=13.0,tvm-ffi=0.1"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["schema"] == "kernels.variants/1");
  CHECK(report["repo_id"] == "acme/relu");
  REQUIRE(report["revisions"].size() == 2);
  CHECK(report["revisions"][0]["version"] == 1);
  CHECK(report["revisions"][0]["revision"] == "refs/heads/v1");
  CHECK(report["revisions"][0]["variants"][0] == json{{"variant", "tvm-ffi01-cu130-x86_64-linux"},
                                                      {"compatible", true},
                                                      {"preferred", true},
                                                      {"reason", nullptr}});
  CHECK(report["revisions"][0]["variants"][1]["compatible"] == false);
  CHECK(report["revisions"][1]["invalid"] == json::array());
}

TEST_CASE("variants: a folder is described in the same shape, with a path and nulls", "[cli]") {
  World world;
  put(world.folder() / "k/build/torch-universal/__init__.py", "x\n");
  put(world.folder() / "k/build/torch100-cpu-x86_64-linux/__init__.py", "x\n");
  auto run = world.kernels({"variants", "k", "--json"});
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["path"] == "k");
  CHECK_FALSE(report.contains("repo_id"));
  CHECK(report["revisions"][0]["invalid"] == json{"torch100-cpu-x86_64-linux"});
  CHECK(report["revisions"][0]["version"].is_null());
  CHECK(report["revisions"][0]["revision"].is_null());
}

TEST_CASE("versions and info: the Hub online, the cache offline", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.publish_simple("relu", 2, "two");
  auto versions = world.kernels({"versions", "acme/relu"});
  REQUIRE(versions.status == 0);
  CHECK(has(versions.out, "Version 1:"));
  CHECK(has(versions.out, "Version 2:"));
  auto info = json::parse(world.kernels({"info", "acme/relu", "--json"}).out);
  CHECK(info["revision"] == "v2");
  CHECK(info["name"] == "relu");
  CHECK(info["backends"] == json{"cpu", "cuda"});
  world.hub->forget_seen();
  auto offline = world.kernels(
      {"--cache", (world.temp / "publisher").string(), "--offline", "info", "acme/relu", "--version", "1"});
  INFO(offline.err);
  CHECK(offline.status == 0);
  CHECK(has(offline.out, "Revision: v1"));
  CHECK(world.hub->seen().empty());
  CHECK(world.kernels({"variants", "acme/relu", "--version", "9"}).status == 1);
}

TEST_CASE("import: what cannot be taken is refused and leaves nothing", "[cli]") {
  World world;
  auto none = world.kernels({"import", "nowhere", "--repo-id", "acme/x"});
  CHECK(none.status != 0);
  CHECK(has(none.err, "nowhere"));
  put(world.folder() / "k/build/torch-cpu/__init__.py", "x\n");
  put(world.folder() / "k/build/torch-cpu/metadata.json", "{\"version\": 1}");
  std::filesystem::create_symlink("/etc/passwd", world.folder() / "k/build/torch-cpu/passwd");
  auto link = world.kernels({"import", "k", "--repo-id", "acme/x"});
  CHECK(link.status == 4);
  CHECK(has(link.err, "passwd"));
  CHECK(World::files_below(world.cache()).empty());
}
