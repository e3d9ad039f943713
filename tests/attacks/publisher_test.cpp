// Whose kernels may be locked and downloaded, and what must be said for it.

#include <nlohmann/json.hpp>

#include "victim.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const std::string kOther = "[dependencies]\n\"other/relu\" = ";

/// `other` is nobody whom the Hub trusts.
struct Stranger : World {
  Stranger() {
    std::map<std::string, std::string> files = {{"__init__.py", "# other\n"},
                                                {"_relu.so", cpu_library("other")}};
    publish({.repo = "other/relu", .variants = {{kVariant, files}}});
    publish_simple("relu");
  }
  Outcome lock(const std::string& toml) {
    project(toml);
    return kernels({"lock"});
  }
  json publisher_check() {
    auto run = kernels({"check", "--json"});
    INFO(run.err);
    auto checks = json::parse(run.out)["kernels"][0]["checks"];
    for (const auto& check : checks)
      if (check["check"] == "publisher") return check;
    return nullptr;
  }
};

}  // namespace

TEST_CASE("publisher: one whom the Hub does not trust is locked only if the project says so", "[attacks]") {
  Stranger world;
  auto refused = world.lock(kOther + "1\n");
  CHECK(refused.status == 4);
  CHECK(has(refused.err, "the Hub does not mark `other`, the publisher of `other/relu`, as trusted"));
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
  CHECK(world.lock(kOther + "{ version = 1, trust = true }\n").status == 0);
  CHECK(has(world.read("kernels.sum"), "\"trusted_by\":\"dependency\""));
  CHECK(world.kernels({"download"}).status == 0);
}

TEST_CASE("publisher: trust that the project took back is not used by a download", "[attacks]") {
  Stranger world;
  struct Row {
    const char* with;
    const char* without;
  };
  auto row =
      GENERATE(Row{"{ version = 1, trust = true }\n", "1\n"},
               Row{"1\n[trust]\npublishers = [\"other\"]\n", "1\n[trust]\npublishers = [\"third\"]\n"});
  CAPTURE(row.without);
  REQUIRE(world.lock(kOther + row.with).status == 0);
  world.project(kOther + row.without);
  world.hub->forget_seen();
  auto run = world.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "the project no longer says so"));
  CHECK(has(run.err, "`other/relu`"));
  CHECK(world.hub->seen().empty());
  CHECK(World::files_below(world.cache()).empty());
  auto check = world.kernels({"check"});
  CHECK(check.status == 4);
  CHECK(has(check.out, "untrusted"));
  // Said in the other way it is as good.
  world.project(kOther + "1\n[trust]\npublishers = [\"other\"]\n");
  CHECK(world.kernels({"download"}).status == 0);
}

TEST_CASE("publisher: without a project file, and offline, the lock's record decides", "[attacks]") {
  Stranger world;
  REQUIRE(world.lock(kOther + "{ version = 1, trust = true }\n").status == 0);
  std::filesystem::remove(world.folder() / "kernels.toml");
  world.hub->forget_seen();
  REQUIRE(world.kernels({"download"}).status == 0);
  CHECK(world.hub->count("GET", "/organizations/") == 0);
  CHECK(world.kernels({"--offline", "download"}).status == 0);
  // A project file of another tool, without a word about kernels, has no opinion.
  put(world.folder() / "pyproject.toml", "[project]\nname = \"x\"\n");
  CHECK(world.kernels({"--offline", "download"}).status == 0);
  // One that cannot be read may hold rules: it is not taken for missing.
  put(world.folder() / "kernels.toml", "[dependencies\n");
  CHECK(world.kernels({"--offline", "download"}).status == 2);
  CHECK(world.kernels({"--offline", "check"}).status == 2);
}

TEST_CASE("publisher: with Python's lock alone the Hub is asked, or the project must trust", "[attacks]") {
  Stranger world;
  REQUIRE(world.lock(kOther + "{ version = 1, trust = true }\n").status == 0);
  std::filesystem::remove(world.folder() / "kernels.sum");
  world.project(kOther + "1\n");
  auto run = world.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "the Hub does not mark `other`"));
  CHECK(World::files_below(world.cache()).empty());
  std::filesystem::remove(world.folder() / "kernels.toml");
  CHECK(world.kernels({"download"}).status == 4);
  world.project("[layers.X]\ncpu = { repo = \"other/relu\", version = 1, trust = true }\n");
  auto layer = world.kernels({"download"});
  INFO(layer.err);
  CHECK(layer.status == 0);
  REQUIRE(world.lock("[dependencies]\n\"acme/relu\" = 1\n").status == 0);
  std::filesystem::remove(world.folder() / "kernels.sum");
  CHECK(world.kernels({"download"}).status == 0);
}

TEST_CASE("publisher: a redirect's destination must be trusted, whoever it comes from", "[attacks]") {
  Stranger world;
  auto move = [&](const std::string& from, const std::string& to) {
    world.publish(
        {.repo = from,
         .variants = {{kVariant, {{"__init__.py", "x\n"}}}},
         .root_files = {{"kernel-status.toml", "kind = \"redirect\"\ndestination = \"" + to + "\"\n"}}});
  };
  move("acme/gone", "other/relu");   // from a trusted publisher to a stranger
  move("third/gone", "acme/relu");   // from a stranger to a trusted one
  move("other/gone", "other/relu");  // within one
  auto to_stranger = world.lock("[dependencies]\n\"acme/gone\" = 1\n");
  INFO(to_stranger.err);
  CHECK(to_stranger.status == 4);
  CHECK(has(to_stranger.err, "the publisher of `other/relu`, to which `acme/gone` was moved, as trusted"));
  CHECK(has(to_stranger.err, "\"other/relu\" = { version = 1, trust = true }"));
  // Trust in the source says nothing about the destination.
  CHECK(world.lock("[dependencies]\n\"acme/gone\" = { version = 1, trust = true }\n").status == 4);
  CHECK(world.lock("[dependencies]\n\"acme/gone\" = 1\n[trust]\npublishers = [\"acme\"]\n").status == 4);
  CHECK(world.lock("[dependencies]\n\"acme/gone\" = 1\n[trust]\npublishers = [\"other\"]\n").status == 0);
  CHECK(world.lock("[dependencies]\n\"third/gone\" = 1\n").status == 0);
  CHECK(world.lock("[dependencies]\n\"other/gone\" = { version = 1, trust = true }\n").status == 0);
  CHECK(world.kernels({"download"}).status == 0);
}

TEST_CASE("attack 39: a repository that was handed to a stranger is not trusted for its old name",
          "[attacks]") {
  Stranger world;
  auto lead = [&](const std::string& from, const std::string& to) {
    world.hub->add({.path_pattern = from, .lie = lie::redirect(307, to)});
  };
  lead("/api/kernels/acme/relu/refs$", "/api/kernels/other/relu/refs");
  lead("/api/kernels/acme/relu/tree/", "/api/kernels/other/relu/tree/v1/build?recursive=true&expand=false");
  lead("/acme/relu/resolve/.*metadata.json$",
       "/kernels/other/relu/resolve/v1/build/" + kVariant + "/metadata.json");
  auto run = world.lock(kOne);
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "the publisher of `other/relu`, to which `acme/relu` was moved, as trusted"));
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
}

TEST_CASE("publisher: `check` says why each is trusted", "[attacks]") {
  Stranger world;
  REQUIRE(world.lock(kOne).status == 0);
  CHECK(world.publisher_check()["text"] == "the Hub marked `acme` as a trusted publisher when it was locked");
  CHECK_FALSE(has(world.kernels({"check"}).out, "TRUST"));
  REQUIRE(world.lock(kOther + "{ version = 1, trust = true }\n").status == 0);
  CHECK(has(world.publisher_check()["text"], "`trust = true` at this dependency"));
  CHECK(has(world.kernels({"check"}).out, "trust = true"));
  REQUIRE(world.lock(kOther + "1\n[trust]\npublishers = [\"other\"]\n").status == 0);
  CHECK(has(world.publisher_check()["text"], "names `other` below `[trust]`"));
  CHECK(world.publisher_check()["state"] == "good");
}
