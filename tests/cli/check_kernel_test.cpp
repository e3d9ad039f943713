#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/gpu_code_writer.h"
#include "support/world.h"

// `check` of what no project has locked, and what it reads of binaries.

using namespace kernels::test;
using nlohmann::json;

namespace {

constexpr const char* kCuda = "tvm-ffi01-cu130-x86_64-linux";

/// A target with CUDA 13.0 and tvm-ffi 0.1, and more.
std::string target(const std::string& more) {
  return "os=linux,cpu=x86_64,cuda=13.0,tvm-ffi=0.1" + (more.empty() ? "" : "," + more);
}

std::string library(const std::vector<std::vector<ImageDescription>>& containers,
                    ElfDescription description = {}) {
  description.data = write_fat_binaries(containers);
  return write_elf(description);
}

std::string metadata(const std::string& archs, const std::string& depends = "") {
  return R"({"name": "relu", "id": "_relu_x_0a1b2c3", "version": 1, "license": "MIT", "python-depends": [)" +
         depends + R"(], "kernel-depends": [], "backend": {"type": "cuda", "archs": [)" + archs + "]}}\n";
}

/// A folder with one CUDA build.
std::string build_folder(World& world, const std::map<std::string, std::string>& files,
                         const char* variant = kCuda) {
  auto folder = world.temp / "build-of-relu";
  for (const auto& [name, content] : files)
    put(folder / ("build/" + std::string(variant)) / name, content);
  return folder.string();
}

json check(World& world, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"check"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.emplace_back("--json");
  auto run = world.kernels(words);
  INFO(run.out << run.err);
  REQUIRE_FALSE(run.out.empty());
  return json::parse(run.out);
}

json item(const json& row, const std::string& name) {
  for (const auto& entry : row["checks"])
    if (entry["check"] == name) return entry;
  return nullptr;
}

}  // namespace

TEST_CASE("check: the verdict follows the binaries, container by container", "[cli]") {
  struct Row {
    const char* name;
    std::vector<std::vector<ImageDescription>> containers;
    const char* target;
    const char* verdict;
    int status;
  };
  std::vector<Row> rows = {
      {"machine code", {{{.arch = 90}}}, "capability=9.0", "runs", 0},
      {"machine code of the same major version", {{{.arch = 80}}}, "capability=8.6", "runs", 0},
      {"PTX", {{{.kind = 1, .arch = 80}}}, "capability=9.0", "runs after JIT", 0},
      {"PTX and a driver that is too old",
       {{{.kind = 1, .arch = 80}}},
       "capability=9.0,driver=575.51",
       "would not run",
       1},
      {"another architecture", {{{.arch = 100}}}, "capability=9.0", "would not run", 1},
      {"one file of two",
       {{{.arch = 90}}, {{.arch = 100, .suffix = 'a'}}},
       "capability=9.0",
       "some functions would not run",
       1},
      {"one GPU of two", {{{.arch = 90}}}, "capability=9.0,capability=8.0", "would not run", 1},
      {"no code", {}, "capability=9.0", "no GPU code found", 0},
      {"a target without a GPU", {{{.arch = 90}}}, "", "runs", 0}};
  for (const auto& row : rows) {
    INFO(row.name);
    World world;
    auto folder = build_folder(world, {{"__init__.py", ""}, {"_relu.so", library(row.containers)}});
    auto run = world.kernels({"check", folder, "--target", target(row.target), "--json"});
    INFO(run.out << run.err);
    CHECK(run.status == row.status);
    CHECK(json::parse(run.out)["kernels"][0]["verdict"] == row.verdict);
  }
}

TEST_CASE("check: the functions that would not run are named", "[cli]") {
  World world;
  auto folder = build_folder(
      world, {{"_relu.so", library({{{.arch = 90, .functions = {"_Z4reluPf"}}},
                                    {{.arch = 100, .functions = {"_Z4geluIfEvPT_"}, .pack = Pack::zstd}}})}});
  auto run = world.kernels({"check", folder, "--target", target("capability=9.0")});
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out, "9.0: neither machine code nor PTX in 1 of 2 containers"));
  CHECK(has(run.out, "Affected: gelu<…>"));
  CHECK_FALSE(has(run.out, "relu<"));
}

TEST_CASE("check: a kernel that compiles at run time is decided there, never bad", "[cli]") {
  World world;
  auto folder = build_folder(world, {{"__init__.py", "import triton\n"}}, "torch-cuda");
  auto report = check(world, {folder, "--target", target("capability=9.0")});
  CHECK(report["good"] == true);
  CHECK(report["kernels"][0]["verdict"] == "decided at run time");
  CHECK(has(item(report["kernels"][0], "gpu code")["text"], "triton"));
}

TEST_CASE("check: AMD code is recognised and said to be unread", "[cli]") {
  World world;
  auto folder =
      build_folder(world, {{"a.co", "__CLANG_OFFLOAD_BUNDLE__ and more"}, {"_relu.so", write_elf({})}},
                   "torch210-cxx11-rocm70-x86_64-linux");
  auto report = check(world, {folder, "--target", "os=linux,rocm=7.0,torch=2.10"});
  CHECK(report["kernels"][0]["verdict"] == "GPU code not read");
  CHECK(report["good"] == true);
}

TEST_CASE("check: GPU code of kinds that are not read is not called absent", "[cli]") {
  World world;
  auto folder =
      build_folder(world, {{"_relu.so", std::string("\xcf\xfa\xed\xfe", 4) + std::string(100, '\0')}},
                   "torch210-metal-aarch64-darwin");
  auto report =
      check(world, {folder, "--target", "os=darwin,cpu=aarch64,backend=metal,torch=2.10,macos=26.0"});
  CHECK(report["kernels"][0]["verdict"] == "GPU code not read");
  CHECK(report["good"] == true);
}

TEST_CASE("check: what keeps a library from being loaded is the reason", "[cli]") {
  struct Row {
    const char* name;
    std::string library;
    std::string target;
    const char* part;
  };
  ElfDescription new_glibc{.needs = {{.library = "libc.so.6", .versions = {"GLIBC_2.34"}}},
                           .symbols = {{.name = "dlopen", .is_defined = false, .version = "GLIBC_2.34"}}};
  std::vector<Row> rows = {
      {"glibc", library({{{.arch = 90}}}, new_glibc), "glibc=2.28",
       "needs GLIBC 2.34 (for `dlopen`), but the target has 2.28"},
      {"another CPU", library({{{.arch = 90}}}, {.machine = 183}), "", "is machine code for aarch64"},
      {"the driver", library({{{.arch = 90}}}), "driver=535.54.03",
       "driver 535.54.03 is older than 580.65.06"},
      {"no library", "a text\n", "", "is no library of Linux"},
      {"Mach-O", std::string("\xcf\xfa\xed\xfe", 4) + std::string(100, '\0'), "",
       "is no library of Linux, but Mach-O"},
      {"damaged", library({{{.arch = 90}}}).substr(0, 100), "", "cannot be read: damaged ELF file"}};
  for (const auto& row : rows) {
    INFO(row.name);
    World world;
    auto folder = build_folder(world, {{"_relu.so", row.library}});
    auto run = world.kernels({"check", folder, "--target", target(row.target), "--json"});
    INFO(run.out << run.err);
    CHECK(run.status == 1);
    auto report = json::parse(run.out);
    CHECK(report["kernels"][0]["verdict"] == "would not run");
    CHECK(has(report["kernels"][0]["checks"].dump(), row.part));
  }
}

TEST_CASE("check: metadata that says something else than the binaries is told", "[cli]") {
  World world;
  auto folder = build_folder(world, {{"_relu.so", library({{{.arch = 90}, {.arch = 80}}})},
                                     {"metadata.json", metadata(R"("9.0", "10.0+PTX")")}});
  auto report = check(world, {folder, "--target", target("capability=9.0")});
  const auto& row = report["kernels"][0];
  CHECK(row["verdict"] == "runs");
  CHECK(item(row, "metadata")["state"] == "warning");
  CHECK(has(item(row, "metadata")["text"], "declares 10.0 10.0+PTX, which the binaries do not hold"));
  CHECK(row["archs"] == json{"8.0", "9.0"});
  CHECK(has(row["findings"].dump(), "hold 8.0, which metadata.json does not declare"));
}

TEST_CASE("check: Python packages that a kernel needs are looked for here, and listed for elsewhere",
          "[cli]") {
  World world;
  auto folder = build_folder(world, {{"_relu.so", library({{{.arch = 90}}})},
                                     {"metadata.json", metadata(R"("9.0")", R"("einops")")}});
  auto elsewhere = check(world, {folder, "--target", target("capability=9.0")});
  CHECK(item(elsewhere["kernels"][0], "python")["state"] == "unknown");
  auto unknown = build_folder(world, {{"metadata.json", metadata(R"("9.0")", R"("no-such-package")")}});
  auto refused = check(world, {unknown, "--target", target("capability=9.0")});
  CHECK(item(refused["kernels"][0], "python")["state"] == "bad");
  CHECK(refused["kernels"][0]["verdict"] == "would not run");
}

TEST_CASE("check: a build's files are compared with the digest in its metadata", "[cli]") {
  World world;
  auto hub = std::filesystem::path(KERNELS_TEST_HUB_FOLDER) / "activation";
  auto folder = world.temp / "activation";
  std::filesystem::copy(hub, folder, std::filesystem::copy_options::recursive);
  auto arguments = std::vector<std::string>{"check", folder.string(), "--target", "os=linux,tvm-ffi=0.1"};
  CHECK(world.kernels(arguments).status == 0);
  put(folder / "build/tvm-ffi01-cpu-x86_64-linux/extra.py", "x");
  auto unknown = world.kernels(arguments);
  CHECK(unknown.status == 4);
  CHECK(has(unknown.out, "extra.py (unknown)"));
  std::filesystem::remove(folder / "build/tvm-ffi01-cpu-x86_64-linux/extra.py");
  std::ofstream(folder / "build/tvm-ffi01-cpu-x86_64-linux/__init__.py", std::ios::app) << "#";
  auto changed = world.kernels(arguments);
  CHECK(changed.status == 4);
  CHECK(has(changed.out, "with other bytes than the digest in metadata.json, the first is __init__.py"));
  std::filesystem::remove(folder / "build/tvm-ffi01-cpu-x86_64-linux/__init__.py");
  auto missing = world.kernels(arguments);
  CHECK(missing.status == 1);
  CHECK(has(missing.out, "1 file missing, the first is __init__.py"));
}

TEST_CASE("check: the folder of one variant and a single library can be checked", "[cli]") {
  World world;
  auto folder = build_folder(world, {{"_relu.so", library({{{.arch = 90}}})}, {"__init__.py", ""}});
  auto variant = check(world, {folder + "/build/" + kCuda, "--target", target("capability=9.0")});
  CHECK(variant["kernels"][0]["variant"] == kCuda);
  CHECK(variant["kernels"][0]["verdict"] == "runs");
  auto file = folder + "/build/" + kCuda + "/_relu.so";
  CHECK(check(world, {file, "--target", target("capability=9.0")})["kernels"][0]["verdict"] == "runs");
  CHECK(check(world, {file, "--target", target("capability=7.5")})["kernels"][0]["verdict"] ==
        "would not run");
  auto broken = world.temp / "broken.so";
  put(broken,
      "\x7f"
      "ELF and then nothing");
  auto refused = world.kernels({"check", broken.string()});
  CHECK(refused.status == 1);
  CHECK(has(refused.err, "cannot be read: damaged ELF file"));
}

TEST_CASE("check: a kernel on the Hub is checked by parts of its files", "[cli]") {
  World world;
  // Machine code is long, and none of it says anything about where it runs.
  ImageDescription large{.arch = 90, .functions = {std::string(6'000'000, 'k')}};
  std::map<std::string, std::string> files = {
      {"__init__.py", "def relu(x): pass\n"},
      {"_relu.so", library({{large}, {{.arch = 90}, {.arch = 100}, {.kind = 1, .arch = 100}}})}};
  world.publish({.repo = "acme/relu", .variants = {{kCuda, files}}});
  auto report = check(world, {"acme/relu", "--target", target("capability=9.0")});
  const auto& row = report["kernels"][0];
  CHECK(row["repo_id"] == "acme/relu");
  CHECK(row["revision"] == "v1");
  CHECK(row["verdict"] == "runs");
  CHECK(item(row, "files")["state"] == "none");
  CHECK(report["bytes_fetched"].get<std::uint64_t>() * 50 < row["bytes"].get<std::uint64_t>());
  CHECK(report["bytes_fetched"].get<std::uint64_t>() > 0);
  auto refused = world.kernels({"check", "acme/relu", "--target", target("capability=8.0")});
  CHECK(refused.status == 1);
  CHECK(has(refused.out, "neither machine code nor PTX"));
  // What the cache holds is read there.
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  CHECK(check(world, {"acme/relu", "--target", target("capability=9.0")})["bytes_fetched"] == 0);
  world.hub->forget_seen();
  auto offline = world.kernels({"--offline", "check", "acme/relu", "--target", target("capability=9.0")});
  CHECK(offline.status == 0);
  CHECK(world.hub->seen().empty());
}

TEST_CASE("check: offline a cached kernel with a digest is complete or said not to be", "[cli]") {
  World world;
  std::map<std::string, std::string> files;
  auto built = std::filesystem::path(KERNELS_TEST_HUB_FOLDER) / "activation/build/tvm-ffi01-cpu-x86_64-linux";
  for (const auto& file : World::files_below(built)) {
    std::ifstream stream(built / file, std::ios::binary);
    files[file] = std::string(std::istreambuf_iterator<char>(stream), {});
  }
  world.publish({.repo = "acme/relu", .variants = {{"tvm-ffi01-cpu-x86_64-linux", files}}});
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  std::vector<std::string> question = {"--offline", "check", "acme/relu", "--target", "os=linux,tvm-ffi=0.1"};
  CHECK(world.kernels(question).status == 0);
  for (const auto& file : World::files_below(world.cache()))
    if (file.ends_with("_ops.py")) std::filesystem::remove(world.cache() / file);
  auto run = world.kernels(question);
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  CHECK(has(run.out, "1 file missing, the first is _ops.py"));
}

TEST_CASE("check: a server that does not know ranges, or lies in them, is an error", "[cli]") {
  World world;
  world.publish(
      {.repo = "acme/relu",
       .variants = {{kCuda, {{"_relu.so", library({{{.arch = 90}}}, {.soname = std::string(9000, 's')})}}}}});
  struct Row {
    const char* name;
    Lie lie;
  };
  std::vector<Row> rows = {{"503", lie::status(503)},
                           {"404", lie::status(404)},
                           {"cut", lie::cut_after(10)},
                           {"whole file instead of a part", lie::range_ignored()}};
  for (auto& row : rows) {
    INFO(row.name);
    world.hub->clear_faults();
    world.hub->add({.path_pattern = "_relu\\.so", .lie = row.lie});
    auto run = world.kernels({"check", "acme/relu", "--target", target("capability=9.0")});
    INFO(run.out << run.err);
    CHECK(run.status == 1);
    CHECK(has(run.out, "cannot be read"));
  }
}

TEST_CASE("check: on a machine with different GPUs each kind is a target of its own", "[cli]") {
  World world;
  auto folder = build_folder(world, {{"_relu.so", library({{{.arch = 90}}})}});
  RunOptions options;
  options.environment = {
      {"LD_LIBRARY_PATH", KERNELS_TEST_FAKE_DRIVER},
      {"PATH", "/nowhere"},
      {"KERNELS_TEST_GPUS",
       "9.0,NVIDIA H100,0000:1B:00.0,80;8.9,NVIDIA L4,0000:43:00.0,24;9.0,NVIDIA H100,0000:52:00.0,80"}};
  auto run = world.kernels({"check", folder, "--json"}, options);
  INFO(run.out << run.err);
  CHECK(run.status == 1);
  auto report = json::parse(run.out);
  REQUIRE(report["kernels"].size() == 2);
  CHECK(report["kernels"][0]["target"] == "this machine, GPU 0, 2 (NVIDIA H100)");
  CHECK(report["kernels"][0]["verdict"] == "runs");
  CHECK(report["kernels"][1]["target"] == "this machine, GPU 1 (NVIDIA L4)");
  CHECK(report["kernels"][1]["verdict"] == "would not run");
  options.environment["KERNELS_TEST_GPUS"] =
      "9.0,NVIDIA H100,0000:1B:00.0,80;9.0,NVIDIA H100,0000:52:00.0,80";
  auto same = world.kernels({"check", folder, "--json"}, options);
  CHECK(same.status == 0);
  CHECK(json::parse(same.out)["kernels"].size() == 1);
}

TEST_CASE("check: what is neither a path nor a repository is refused", "[cli]") {
  World world;
  auto run = world.kernels({"check", "no such thing"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "is neither a file, a folder nor a repository"));
  auto revision = world.kernels({"check", world.folder().string(), "--version", "1"});
  CHECK(revision.status == 2);
}

TEST_CASE("check: a project's matrix of coverage comes from its lock alone", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  world.hub->forget_seen();
  auto run = world.kernels({"check", "--matrix"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "acme/relu"));
  CHECK(has(run.out, "CUDA 13.0"));
  CHECK(world.hub->seen().empty());
  CHECK(json::parse(world.kernels({"check", "--matrix", "--json"}).out)["schema"] == "kernels.matrix/1");
}
