#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {
const char* const kOne = "[dependencies]\n\"acme/relu\" = 1\n";

}  // namespace

TEST_CASE("lock: versions, specifiers and revisions are pinned, and the lock is then up to date", "[cli]") {
  World world;
  auto v1 = world.publish_simple("relu", 1, "one");
  auto v2 = world.publish_simple("relu", 2, "two");
  auto tag = world.publish(
      {.repo = "acme/norm", .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}, .revision = "v0.0.3"});
  world.project(
      "[dependencies]\n\"acme/relu\" = 1\n\"acme/norm\" = \">=0.0.2,<0.1\"\n"
      "[layers.Relu]\ncpu = { repo = \"acme/relu\", version = 2 }\n");
  auto run = world.kernels({"lock"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  auto lock = json::parse(world.read("kernels.lock"));
  REQUIRE(lock.size() == 3);
  CHECK(lock[0]["dependency"] == json{{"repo-id", "acme/norm"}, {"revision", "v0.0.3"}});
  CHECK(lock[0]["lock"]["commit"] == tag);
  CHECK(lock[1]["lock"]["commit"] == v1);
  CHECK(lock[2]["lock"]["commit"] == v2);
  auto sum = json::parse(world.read("kernels.sum"));
  CHECK(sum["layers"][0]["commit"] == v2);
  world.hub->forget_seen();
  auto check = world.kernels({"lock", "--check"});
  CHECK(check.status == 0);
  CHECK(world.hub->seen().empty());
}

TEST_CASE("lock: pins stay until an upgrade is asked for", "[cli]") {
  World world;
  auto before = world.publish_simple("relu", 1, "one");
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto after = world.publish_simple("relu", 1, "changed");
  REQUIRE(before != after);
  CHECK(world.kernels({"lock", "--check"}).status == 0);
  auto preview = world.kernels({"lock", "--upgrade", "--dry-run"});
  CHECK(has(preview.out, before.substr(0, 12) + " -> " + after.substr(0, 12)));
  CHECK(has(world.read("kernels.lock"), before));
  CHECK(world.kernels({"lock", "--upgrade", "acme/relu"}).status == 0);
  CHECK(has(world.read("kernels.lock"), after));
}

TEST_CASE("lock: --check fails with a readable diff when the project changed, and writes nothing", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.publish_simple("relu", 2, "two");
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto lock = world.read("kernels.lock");
  world.project("[dependencies]\n\"acme/relu\" = 2\n");
  auto run = world.kernels({"lock", "--check"});
  CHECK(run.status == 1);
  CHECK(has(run.out, "+ acme/relu (version 2)"));
  CHECK(has(run.out, "- acme/relu (version 1)"));
  CHECK(world.read("kernels.lock") == lock);
}

TEST_CASE("lock: the v1 form is kept once it is there", "[cli]") {
  World world;
  world.publish({.repo = "acme/relu", .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}});
  world.project(kOne);
  REQUIRE(world.kernels({"lock", "--lock-format", "v1"}).status == 0);
  auto lock = json::parse(world.read("kernels.lock"));
  CHECK(lock[0]["repo_id"] == "acme/relu");
  CHECK(has(lock[0]["variants"]["torch-cpu"]["hash"], "sha256-"));
  REQUIRE(world.kernels({"lock", "--upgrade"}).status == 0);
  CHECK(json::parse(world.read("kernels.lock")) == lock);
}

TEST_CASE("lock: a redirect pins the destination", "[cli]") {
  World world;
  auto commit = world.publish_simple("relu", 1);
  world.publish(
      {.repo = "acme/old",
       .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}},
       .root_files = {{"kernel-status.toml", "kind = \"redirect\"\ndestination = \"acme/relu\"\n"}}});
  world.project("[dependencies]\n\"acme/old\" = 1\n");
  auto run = world.kernels({"lock"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(has(run.err, "`acme/old` was moved to `acme/relu`"));
  auto lock = json::parse(world.read("kernels.lock"));
  CHECK(lock[0]["dependency"]["repo-id"] == "acme/relu");
  CHECK(lock[0]["lock"]["commit"] == commit);
  CHECK(json::parse(world.read("kernels.sum"))["kernels"][0]["asked_for"] == "acme/old");
  CHECK(world.kernels({"lock", "--check"}).status == 0);
}

TEST_CASE("lock: a renamed repository keeps the name that was asked for and records the present one",
          "[cli]") {
  World world;
  auto commit = world.publish_simple("relu", 1);
  auto moved = [&](const std::string& pattern, const std::string& to) {
    world.hub->add({.path_pattern = pattern, .lie = lie::redirect(307, to)});
  };
  moved("/api/kernels/acme/former/refs", "/api/kernels/acme/relu/refs");
  moved("/api/kernels/acme/former/tree/", "/api/kernels/acme/relu/tree/" + commit + "/build?recursive=true");
  for (const char* variant : {"tvm-ffi01-cpu-x86_64-linux", "tvm-ffi01-cu130-x86_64-linux"}) {
    std::string file = "/" + commit + "/build/" + variant + "/metadata.json";
    moved("/kernels/acme/former/resolve" + file, "/kernels/acme/relu/resolve" + file);
  }
  world.project("[dependencies]\n\"acme/former\" = 1\n");
  auto run = world.kernels({"lock"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(json::parse(world.read("kernels.lock"))[0]["dependency"]["repo-id"] == "acme/former");
  CHECK(json::parse(world.read("kernels.sum"))["kernels"][0]["hub_name"] == "acme/relu");
}

TEST_CASE("lock: kernels that kernels need are locked with them, a circle is refused", "[cli]") {
  World world;
  world.publish_simple("base", 3);
  auto needs = [&](const std::string& repo, const std::string& depends) {
    world.publish(
        {.repo = repo, .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}, .kernel_depends = depends});
  };
  needs("acme/relu", R"([{"repo-id": "acme/base", "version": 3}])");
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto sum = json::parse(world.read("kernels.sum"));
  CHECK(sum["kernels"].size() == 2);
  CHECK(sum["kernels"][1]["direct"] == false);
  needs("acme/a", R"([{"repo-id": "acme/b", "version": 1}])");
  needs("acme/b", R"([{"repo-id": "acme/a", "version": 1}])");
  world.project("[dependencies]\n\"acme/a\" = 1\n");
  auto run = world.kernels({"lock"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "`acme/a` -> `acme/b` -> `acme/a`"));
}

TEST_CASE("lock: repositories from before metadata.json lock with a warning that names the file", "[cli]") {
  World world;
  world.publish(
      {.repo = "acme/relu",
       .variants = {{"torch-cpu", {{"__init__.py", "x\n"}, {"metadata.json", "-"}}},
                    {"torch-cuda", {{"__init__.py", "x\n"}, {"metadata.json", "{\"version\": 1}\n"}}}}});
  world.project(kOne);
  auto run = world.kernels({"lock"});
  REQUIRE(run.status == 0);
  CHECK(has(run.err, "`build/torch-cpu/metadata.json` of `acme/relu` is missing"));
  CHECK(has(run.err, "`build/torch-cuda/metadata.json` of `acme/relu` lacks"));
}

TEST_CASE("lock: what does not exist is said with what does", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.publish_simple("relu", 3, "three");
  struct Row {
    const char* toml;
    int status;
    const char* text;
    const char* hint;
  };
  auto row = GENERATE(
      Row{"[dependencies]\n\"acme/relu\" = 2\n", 1, "`acme/relu` has no version 2",
          "available versions: 1, 3"},
      Row{"[dependencies]\n\"acme/relu\" = \">=1\"\n", 1, "no tag of `acme/relu` satisfies `>=1`", "none"},
      Row{"[dependencies]\n\"acme/nope\" = 1\n", 1, "`acme/nope` does not exist", "HF_TOKEN"},
      Row{"[dependencies]\n\"acme/relu\" = { revision = \"gone\" }\n", 1, "no such revision",
          "kernels versions"},
      Row{"[dependencies]\n\"other/relu\" = 1\n", 4, "`other`, the publisher of `other/relu`, as trusted",
          "trust = true"});
  CAPTURE(row.toml);
  world.publish({.repo = "other/relu", .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}});
  world.project(row.toml);
  auto run = world.kernels({"lock"});
  INFO(run.err);
  CHECK(run.status == row.status);
  CHECK(has(run.err, row.text));
  CHECK(has(run.err, row.hint));
  CHECK(has(run.err, "while locking"));
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
}

TEST_CASE("lock: trust can be given by the dependency or by publisher, and is recorded", "[cli]") {
  World world;
  world.publish({.repo = "other/relu", .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}});
  world.project("[dependencies]\n\"other/relu\" = { version = 1, trust = true }\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(has(world.read("kernels.sum"), "\"trusted_by\":\"dependency\""));
  world.project("[dependencies]\n\"other/relu\" = 1\n[trust]\npublishers = [\"other\"]\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(has(world.read("kernels.sum"), "\"trusted_by\":\"project\""));
}

TEST_CASE("lock: bad project files are refused with file and line", "[cli]") {
  World world;
  struct Row {
    const char* toml;
    const char* text;
  };
  auto row = GENERATE(
      Row{"[dependencies\n", "kernels.toml:1:"}, Row{"[dependncies]\n", "did you mean `dependencies`?"},
      Row{"[dependencies]\n\"acme/relu\" = { vers = 1 }\n", "kernels.toml:2: unknown key `vers`"},
      Row{"[dependencies]\n\"a b\" = 1\n", "kernels.toml:2: `a b` is not a repository name"},
      Row{"[dependencies]\n\"acme/relu\" = \"one\"\n", "`one` is not a version specifier"},
      Row{"[dependencies]\n\"acme/relu\" = { version = 1, revision = \"x\" }\n",
          "both `version` and `revision`"},
      Row{"[layers.X]\ncud = { repo = \"a/b\" }\n", "did you mean `cuda`?"},
      Row{"[[layers.X.cuda]]\nrepo = \"a/b\"\nmin-capability = 90\nmax-capability = 80\n", "above"},
      Row{"[layers.X]\ncpu = { repo = \"a/b\", mode = \"inference|training\" }\n", "exclude each other"},
      Row{"[targets.x]\ncuda = 13.0\n", "in quotes"});
  CAPTURE(row.toml);
  world.project(row.toml);
  auto run = world.kernels({"lock"});
  INFO(run.err);
  CHECK(run.status == 2);
  CHECK(has(run.err, row.text));
  CHECK(world.hub->seen().empty());
}

TEST_CASE("lock: dependencies in both project files are an error that names both", "[cli]") {
  World world;
  world.project(kOne);
  put(world.folder() / "pyproject.toml", "[tool.kernels.dependencies]\n\"acme/relu\" = 1\n");
  auto run = world.kernels({"lock"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "kernels.toml"));
  CHECK(has(run.err, "pyproject.toml"));
}

TEST_CASE("lock: pyproject.toml gives the same lock as kernels.toml", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto lock = world.read("kernels.lock");
  auto sum = world.read("kernels.sum");
  for (const char* file : {"kernels.toml", "kernels.lock", "kernels.sum"})
    std::filesystem::remove(world.folder() / file);
  put(world.folder() / "pyproject.toml", "[tool.kernels.dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(world.read("kernels.lock") == lock);
  CHECK(world.read("kernels.sum") == sum);
}

TEST_CASE("lock: a target without a usable variant fails the lock, with every reason and the nearest change",
          "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(std::string(kOne) +
                "[targets.good]\nos = \"linux\"\ncuda = \"13.1\"\ntvm-ffi = \"0.1\"\n"
                "[targets.old]\nos = \"linux\"\ncuda = \"12.8\"\ntvm-ffi = \"0.1\"\n");
  auto run = world.kernels({"lock", "--all-targets"});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out, "target old would find no variant of acme/relu"));
  CHECK(has(run.out, "built for CUDA 13.0, but the target has CUDA 12.8"));
  CHECK(has(run.out,
            "  To make one fit:\n  -  install CUDA 13.0: version 1 has `tvm-ffi01-cu130-x86_64-linux`\n"));
  CHECK_FALSE(has(run.out, "target good"));
  CHECK(has(run.out, "Not locked: 1 gap"));
  CHECK_FALSE(std::filesystem::exists(world.folder() / "kernels.lock"));
  CHECK(world.kernels({"lock", "--target", "good"}).status == 0);
  CHECK(world.kernels({"lock", "--check", "--all-targets"}).status == 1);
}

TEST_CASE("lock: a gap is advised from the other versions of the kernel, which the Hub knows", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.publish({.repo = "acme/relu",
                 .version = 3,
                 .variants = {{"torch-stable-abi210-cu128-x86_64-linux", {{"__init__.py", "x\n"}}}}});
  world.project(std::string(kOne) + "[targets.old]\nos = \"linux\"\ncuda = \"12.8\"\ntorch = \"2.11\"\n");
  auto run = world.kernels({"lock", "--all-targets", "--json"});
  CHECK(run.status == 1);
  auto gaps = json::parse(run.out)["gaps"];
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0]["target"] == "old");
  CHECK(gaps[0]["repo_id"] == "acme/relu");
  CHECK(gaps[0]["reasons"].size() == 2);
  CHECK(gaps[0]["variant"].is_null());
  CHECK(gaps[0]["advice"][0] == json{{"kind", "change"},
                                     {"text",
                                      "version 3 has a stable-ABI build for you: "
                                      "`torch-stable-abi210-cu128-x86_64-linux`"},
                                     {"version", 3},
                                     {"variant", "torch-stable-abi210-cu128-x86_64-linux"},
                                     {"changes", {{"version", "3"}}}});
  // That the Hub does not answer further questions changes nothing about the gap.
  world.hub->add({.path_pattern = "/revision/v3", .lie = lie::status(404)});
  auto alone = world.kernels({"lock", "--all-targets"});
  CHECK(alone.status == 1);
  CHECK(has(alone.out, "target old would find no variant of acme/relu"));
  CHECK(has(alone.out,
            "  -  a build for CUDA 13.0 exists, your torch is built for CUDA 12.8: install torch 2.11"));
  CHECK_FALSE(has(alone.out, "version 3"));
}

TEST_CASE("lock: a variant without code for a GPU of the target is a gap", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(std::string(kOne) +
                "[targets.ampere]\nos = \"linux\"\ncuda = \"13.0\"\ntvm-ffi = \"0.1\"\n"
                "capability = [\"8.0\", \"9.0\"]\n");
  auto run = world.kernels({"lock", "--all-targets"});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out,
            "target ampere would choose tvm-ffi01-cu130-x86_64-linux of acme/relu, which has no code for "
            "capability 8.0\n  Nothing that can be installed helps:\n"
            "  -  no build that could be chosen declares code for capability 8.0\n"));
  CHECK_FALSE(std::filesystem::exists(world.folder() / "kernels.lock"));
  CHECK(world.kernels({"lock"}).status == 0);
}

TEST_CASE("lock: all targets of a project that has none is an error that shows how to describe one",
          "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  auto run = world.kernels({"lock", "--all-targets"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "kernels.toml` has no targets"));
  CHECK(has(run.err, "[targets.prod]"));
  CHECK(run.out.empty());
  CHECK_FALSE(std::filesystem::exists(world.folder() / "kernels.lock"));
}

TEST_CASE("lock: trouble on the way is told with the URL and the way out", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  struct Row {
    Lie lie;
    int status;
    const char* text;
  };
  auto row =
      GENERATE(Row{lie::status(503), 3, "the server answered 503"},
               Row{lie::status(401, {}, "{}"), 3, "does not exist, or is private"},
               Row{lie::status(403, {{"X-Error-Code", "GatedRepo"}}), 3, "is gated"},
               Row{lie::json_garbage(), 3, "is not valid JSON"}, Row{lie::rate_limited(4000), 3, "429"},
               Row{lie::redirect_loop(), 3, "more than 20 redirects"},
               Row{lie::redirect(302, "file:///etc/passwd"), 4, "only http and https"},
               Row{lie::huge_header(), 3, "headers are longer"},
               Row{lie::cut_after(3), 3, "fetching http://127.0.0.1"});
  CAPTURE(row.text);
  world.hub->add({.path_pattern = "/refs", .lie = row.lie});
  auto run = world.kernels({"lock"});
  INFO(run.err);
  CHECK(run.status == row.status);
  CHECK(has(run.err, row.text));
  CHECK(has(run.err, "/api/kernels/acme/relu/refs"));
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
}

TEST_CASE("lock: a passing fault is tried again", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  world.hub->add({.path_pattern = "/refs|/tree/", .times = 1, .lie = lie::status(503)});
  CHECK(world.kernels({"lock"}).status == 0);
}

TEST_CASE("lock: hostile names from the Hub are refused", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  std::string name = GENERATE(as<std::string>{}, "../../evil", "/etc/passwd", "build/../../x", "build\\\\x");
  world.hub->add(
      {.path_pattern = "/tree/",
       .lie = lie::status(200, {{"Content-Type", "application/json"}},
                          R"([{"type": "file", "path": ")" + name +
                              R"(", "size": 1, "oid": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"}])")});
  auto run = world.kernels({"lock"});
  INFO(run.err);
  CHECK(run.status == 4);
}

TEST_CASE("lock: a listing of ten thousand files comes page by page", "[cli][slow]") {
  World world;
  std::map<std::string, std::string> files = {{"__init__.py", "x\n"}};
  for (int i = 0; i < 10'000; ++i)
    files["data/" + std::to_string(i) + ".txt"] = std::to_string(i % 7) + "\n";
  world.publish({.repo = "acme/relu", .variants = {{"torch-cpu", files}}});
  world.project(kOne);
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(world.hub->count("GET", "/tree/") == 11);
  auto sum = json::parse(world.read("kernels.sum"));
  CHECK(sum["kernels"][0]["variants"][0]["files"].size() == 10'002);
}

TEST_CASE("lock: a damaged lock is written anew, with a warning", "[cli]") {
  World world;
  world.publish_simple("relu", 1);
  world.project(kOne);
  put(world.folder() / "kernels.lock", "<<<<<<< ours\n[]\n=======\n[]\n>>>>>>> theirs\n");
  auto run = world.kernels({"lock"});
  CHECK(run.status == 0);
  CHECK(has(run.err, "merge-conflict markers"));
  CHECK(world.kernels({"lock", "--check"}).status == 0);
}
