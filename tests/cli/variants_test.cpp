#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"
#include "text.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

std::string metadata(std::uint64_t version, const std::string& backend, const std::string& archs) {
  return R"({"name": "relu", "id": "_relu_x_0a1b2c3", "version": )" + std::to_string(version) +
         R"(, "license": "Apache-2.0", "python-depends": [], "backend": {"type": ")" + backend + "\"" +
         (archs.empty() ? "" : ", \"archs\": " + archs) + "}}\n";
}

/// Three versions of `acme/relu`: CUDA 12.6 on torch 2.9; torch 2.10 with CUDA 12.8, 13.0 and ROCm; the
/// stable ABI.
void publish_versions(World& world) {
  auto files = [](std::uint64_t version, const std::string& backend, const std::string& archs) {
    return std::map<std::string, std::string>{{"__init__.py", "x\n"},
                                              {"metadata.json", metadata(version, backend, archs)}};
  };
  world.publish({.repo = "acme/relu",
                 .version = 1,
                 .variants = {{"torch29-cxx11-cu126-x86_64-linux", files(1, "cuda", R"(["8.0", "9.0"])")},
                              {"torch29-cxx11-cu128-aarch64-linux", files(1, "cuda", R"(["9.0"])")}}});
  world.publish({.repo = "acme/relu",
                 .version = 2,
                 .variants = {{"torch210-cxx11-cu128-x86_64-linux", files(2, "cuda", R"(["8.0", "9.0a"])")},
                              {"torch210-cxx11-cu130-x86_64-linux",
                               files(2, "cuda", R"(["8.0", "9.0", "10.0f", "12.0+PTX"])")},
                              {"torch210-cxx11-rocm70-x86_64-linux", files(2, "rocm", R"(["gfx90a"])")},
                              {"tvm-ffi01-cu130-x86_64-linux", files(2, "cuda", "")},
                              {"torch-cpu", {{"__init__.py", "x\n"}}}}});
  world.publish({.repo = "acme/relu",
                 .version = 3,
                 .variants = {{"torch-stable-abi210-cu130-x86_64-linux", files(3, "cuda", R"(["9.0"])")}}});
}

std::size_t longest_line(const std::string& text) {
  std::size_t out = 0;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    out = std::max(out, kernels::app::display_width(line));
  return out;
}

std::size_t metadata_requests(World& world) {
  auto seen = world.hub->seen();
  return static_cast<std::size_t>(
      std::ranges::count_if(seen, [](const auto& request) { return has(request.target, "metadata.json"); }));
}

}  // namespace

TEST_CASE("variants: --explain adds the nearest change of the target or of the version", "[cli]") {
  World world;
  publish_versions(world);
  auto run = world.kernels({"variants", "acme/relu", "--version", "1", "--explain", "--target",
                            "torch=2.10,cuda=13.0,capability=9.0"});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(run.out == R"(acme/relu for linux x86_64, CUDA 13.0, torch 2.10, capability 9.0

Version 1:
  torch29-cxx11-cu128-aarch64-linux  built for the CPU aarch64, but the target has x86_64
  torch29-cxx11-cu126-x86_64-linux   built for torch 2.9, but the target has 2.10
  To make one fit:
  -  version 3 has a stable-ABI build for you: `torch-stable-abi210-cu130-x86_64-linux`
  -  version 2 has a build for you: `torch210-cxx11-cu130-x86_64-linux`
  -  a build for CUDA 12.6 exists, your torch is built for CUDA 13.0: install torch 2.9 for CUDA
     12.6 (version 1 has `torch29-cxx11-cu126-x86_64-linux`)
)");
  auto fits = world.kernels({"variants", "acme/relu", "--explain", "--target", "torch=2.10,cuda=13.0"});
  CHECK(fits.status == 0);
  CHECK_FALSE(has(fits.out, "To make"));
  CHECK(has(fits.out, "Version 3:"));
  CHECK_FALSE(has(fits.out, "Version 2:"));
  auto nowhere =
      world.kernels({"variants", "acme/relu", "--explain", "--target", "os=windows,torch=2.10,xpu=2025.3"});
  CHECK(has(nowhere.out,
            "  Nothing that can be installed helps:\n"
            "  -  there is no build for windows at all, only for linux\n"
            "  -  no build for XPU exists in any version, only for CPU, CUDA, ROCm\n"));
}

TEST_CASE("variants: --explain tells which build has code for a GPU that the chosen one lacks", "[cli]") {
  World world;
  publish_versions(world);
  std::vector<std::string> arguments = {"variants",
                                        "acme/relu",
                                        "--version",
                                        "2",
                                        "--explain",
                                        "--target",
                                        "torch=2.10,cuda=12.8,capability=12.0"};
  auto run = world.kernels(arguments);
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "compatible, preferred, no code for capability 12.0"));
  CHECK(has(run.out, "To have code for every GPU:\n  -  a build for CUDA 13.0 exists"));
  CHECK(metadata_requests(world) == 8);
  arguments.push_back("--json");
  auto report = json::parse(world.kernels(arguments).out);
  const auto& revision = report["revisions"][0];
  CHECK(revision["uncovered_capabilities"] == json{"12.0"});
  CHECK(revision["variants"][0]["variant"] == "torch210-cxx11-cu128-x86_64-linux");
  REQUIRE(revision["advice"].size() == 1);
  CHECK(revision["advice"][0]["variant"] == "torch210-cxx11-cu130-x86_64-linux");
  CHECK(revision["advice"][0]["version"] == 2);
  CHECK(revision["advice"][0]["changes"] == json{{"cuda", "13.0"}});
}

TEST_CASE("variants: what was not asked for costs no request and no key", "[cli]") {
  World world;
  publish_versions(world);
  auto run = world.kernels({"variants", "acme/relu", "--json", "--target", "torch=2.10,cuda=13.0"});
  auto report = json::parse(run.out);
  CHECK(report["revisions"].size() == 1);
  CHECK_FALSE(report["revisions"][0].contains("advice"));
  CHECK(world.hub->seen().size() == 3);  // refs, the newest revision, its listing
  CHECK(
      world.kernels({"variants", "acme/relu", "--format", "json", "--target", "torch=2.10,cuda=13.0"}).out ==
      run.out);
}

TEST_CASE("variants: the version, the revision or all of them; and only what fits", "[cli]") {
  World world;
  publish_versions(world);
  std::string target = "torch=2.10,cuda=13.0";
  auto ask = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"variants", "acme/relu", "--target", target, "--json"});
    auto revisions = json::parse(world.kernels(more).out)["revisions"];
    json out = json::array();
    for (const auto& revision : revisions)
      out.push_back({revision["version"], revision["variants"].size()});
    return out;
  };
  CHECK(ask({}) == json{{3, 1}});
  CHECK(ask({"--version", "latest"}) == json{{3, 1}});
  CHECK(ask({"--version", "2"}) == json{{2, 5}});
  CHECK(ask({"--version", "2", "--only-compatible"}) == json{{2, 1}});
  CHECK(ask({"--all-versions"}) == json{{1, 2}, {2, 5}, {3, 1}});
  CHECK(ask({"--all-versions", "--only-compatible", "--explain"}) == json{{1, 0}, {2, 1}, {3, 1}});
  CHECK(ask({"--revision", "v1"}) == json{{nullptr, 2}});
  CHECK(ask({"--revision", "v1", "--explain"}) == json{{nullptr, 2}});
  auto text = world.kernels({"variants", "acme/relu", "--revision", "v1", "--explain", "--target", target});
  CHECK(has(text.out, "Revision v1:"));
  CHECK(has(text.out, "version 3 has a stable-ABI build for you"));
}

TEST_CASE("variants: --matrix is the newest version by the torch versions of all, with holes marked",
          "[cli]") {
  World world;
  publish_versions(world);
  auto run = world.kernels({"variants", "acme/relu", "--version", "2", "--matrix"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(run.out == std::string(R"(acme/relu, version 2, linux x86_64 (12 holes)

torch                  CPU     CUDA 12.6  CUDA 12.8  CUDA 13.0               ROCm 7.0
2.9                    Python  —          —          —                       —
2.10                   Python  —          cu128      cu130                   rocm70
                                          8.0 9.0a   8.0 9.0 10.0f 12.0+PTX  gfx90a
no torch               Python  —          —          —                       —
no torch, tvm-ffi 0.1  Python  —          —          cu130                   —
                                                     ?

torch210-cxx11-cu128-x86_64-linux  no code for 10.0, 12.0

acme/relu, version 2, linux aarch64 (2 holes)

torch     CPU     CUDA 12.8
2.9       Python  —
no torch  Python  —

A cell is the build that a machine of its row and column chooses, with the GPU capabilities that its
metadata declares. abi 2.9: for torch's stable ABI 2.9; cu126: for CUDA 12.6; Python: not compiled;
?: the metadata does not say; —: a hole, no build fits.
)"));
  CHECK(longest_line(run.out) <= 100);
  // One request for each metadata file of what is shown, none for those of the other versions.
  CHECK(metadata_requests(world) == 5);
  auto newest = world.kernels({"variants", "acme/relu", "--matrix"});
  CHECK(has(newest.out, "abi 2.10 cu130"));
  CHECK_FALSE(has(newest.out, "version 2"));
  auto all = world.kernels({"variants", "acme/relu", "--matrix", "--all-versions"});
  for (const char* title : {"version 1, linux x86_64", "version 2, linux x86_64", "version 3, linux aarch64"})
    CHECK(has(all.out, title));
}

TEST_CASE("variants: a matrix as Markdown and as JSON holds the same cells", "[cli]") {
  World world;
  publish_versions(world);
  auto markdown =
      world.kernels({"variants", "acme/relu", "--version", "2", "--matrix", "--format", "markdown"});
  INFO(markdown.out << markdown.err);
  CHECK(markdown.status == 0);
  CHECK(has(markdown.out, R"(### acme/relu, version 2, linux x86_64

| torch | CPU | CUDA 12.6 | CUDA 12.8 | CUDA 13.0 | ROCm 7.0 |
|---|---|---|---|---|---|
| 2.9 | Python | — | — | — | — |
| 2.10 | Python | — | cu128: 8.0 9.0a | cu130: 8.0 9.0 10.0f 12.0+PTX | rocm70: gfx90a |
)"));
  auto run = world.kernels({"variants", "acme/relu", "--version", "2", "--matrix", "--json"});
  auto report = json::parse(run.out);
  CHECK(report["schema"] == "kernels.matrix/1");
  CHECK(report["kernels"][0]["repo_id"] == "acme/relu");
  const auto& table = report["kernels"][0]["tables"][0];
  CHECK(table["version"] == 2);
  CHECK(table["os"] == "linux");
  REQUIRE(table["cells"].size() == 20);
  CHECK(table["cells"][7] == json{{"torch", "2.10"},
                                  {"cxx11_abi", true},
                                  {"tvm_ffi", nullptr},
                                  {"backend", "cuda"},
                                  {"backend_version", "12.8"},
                                  {"variant", "torch210-cxx11-cu128-x86_64-linux"},
                                  {"capabilities", {"8.0", "9.0a"}},
                                  {"missing_capabilities", {"10.0", "12.0"}}});
  CHECK(table["cells"][1]["variant"].is_null());
  CHECK(table["cells"][18]["variant"] == "tvm-ffi01-cu130-x86_64-linux");
  CHECK(table["cells"][18]["capabilities"].is_null());
  CHECK(run.out ==
        world.kernels({"variants", "acme/relu", "--version", "2", "--matrix", "--format", "json"}).out);
}

TEST_CASE("variants: a matrix and an explanation come from the cache offline, and from a folder", "[cli]") {
  World world;
  publish_versions(world);
  auto online = world.kernels({"variants", "acme/relu", "--matrix", "--all-versions"});
  world.hub->forget_seen();
  auto cache = (world.temp / "publisher").string();
  auto offline =
      world.kernels({"--cache", cache, "--offline", "variants", "acme/relu", "--matrix", "--all-versions"});
  CHECK(offline.out == online.out);
  auto explained = world.kernels({"--cache", cache, "--offline", "variants", "acme/relu", "--version", "1",
                                  "--explain", "--target", "torch=2.10,cuda=13.0"});
  CHECK(has(explained.out, "version 3 has a stable-ABI build for you"));
  CHECK(world.hub->seen().empty());
  put(world.folder() / "k/build/torch211-cxx11-cu130-x86_64-linux/metadata.json",
      metadata(1, "cuda", R"(["9.0"])"));
  put(world.folder() / "k/build/torch211-cxx11-cu128-x86_64-linux/metadata.json", "{");
  auto folder = world.kernels({"variants", "k", "--matrix"});
  INFO(folder.out << folder.err);
  CHECK(has(folder.out, R"(k, linux x86_64 (0 holes)

torch  CUDA 12.8  CUDA 13.0
2.11   cu128      cu130
       ?          9.0
)"));
  auto local =
      world.kernels({"variants", "k", "--explain", "--target", "torch=2.10,cuda=13.0,capability=9.0"});
  CHECK(local.status == 1);
  CHECK(has(local.out, "install torch 2.11: it has `torch211-cxx11-cu130-x86_64-linux`"));
  put(world.folder() / "universal/build/torch-universal/__init__.py", "x\n");
  CHECK(has(world.kernels({"variants", "universal", "--matrix"}).out,
            "universal, any platform (0 holes)\n\ntorch  any backend\nany    Python\n"));
  std::filesystem::create_directories(world.folder() / "empty/build");
  auto empty = world.kernels({"variants", "empty", "--matrix"});
  CHECK(empty.status == 1);
  CHECK(empty.out == "empty: no build variants\n");
}

TEST_CASE("variants: metadata that is not what the listing says is refused", "[cli]") {
  World world;
  publish_versions(world);
  world.hub->add({.path_pattern = "metadata.json", .lie = lie::flipped_at(3)});
  auto run = world.kernels({"variants", "acme/relu", "--matrix"});
  CHECK(run.status == 4);
  CHECK(has(run.err, "but the listing says"));
}

TEST_CASE("variants: options that do not go together are refused", "[cli]") {
  World world;
  publish_versions(world);
  auto markdown = world.kernels({"variants", "acme/relu", "--format", "markdown"});
  CHECK(markdown.status == 2);
  CHECK(has(markdown.err, "add `--matrix`"));
  for (const char* other : {"--explain", "--only-compatible", "--target=torch=2.10"})
    CHECK(world.kernels({"variants", "acme/relu", "--matrix", other}).status == 2);
  CHECK(world.kernels({"variants", "acme/relu", "--json", "--format", "table"}).status == 2);
  CHECK(world.hub->seen().empty());
}

TEST_CASE("variants: rows are readable at 100 columns, whatever the names", "[cli]") {
  World world;
  auto folder = world.folder() / "k/build";
  for (const char* name :
       {"torch-stable-abi211-cu130-x86_64-linux", "torch26-cxx98-cu124-x86_64-linux",
        "torch-cuda-x86_64-linux",
        "a-name-that-is-no-variant-and-has-no-blank-at-which-it-could-be-broken-in-two-or-in-three-pieces"})
    std::filesystem::create_directories(folder / name);
  std::filesystem::create_directories(folder / ("torch-" + std::string(200, 'x')));
  std::filesystem::create_directories(folder / "torch-\x1b[31m");
  for (const char* option : {"--explain", "--matrix"}) {
    auto run = world.kernels({"variants", "k", option});
    INFO(run.out);
    CHECK(longest_line(run.out) <= 100);
    CHECK_FALSE(has(run.out, "\x1b"));
  }
}
