#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {
void prepare(World& world) {
  world.publish_simple("relu");
  world.project(
      "[dependencies]\n\"acme/relu\" = 1\n"
      "[targets.hopper]\nos = \"linux\"\ncuda = \"13.0\"\ntvm-ffi = \"0.1\"\ncapability = [\"9.0\"]\n"
      "[targets.ampere]\nos = \"linux\"\ncuda = \"13.0\"\ntvm-ffi = \"0.1\"\ncapability = [\"8.0\"]\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
}
}  // namespace

TEST_CASE("check: a complete, untampered kernel runs; nothing is asked of the Hub", "[cli]") {
  World world;
  prepare(world);
  REQUIRE(world.kernels({"download"}).status == 0);
  world.hub->forget_seen();
  auto run = world.kernels({"check"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "1 of 1 kernel would run"));
  CHECK(world.hub->seen().empty());
}

TEST_CASE("check: missing files, other bytes and uncovered GPUs are verdicts with a way out", "[cli]") {
  World world;
  prepare(world);
  auto missing = world.kernels({"check"});
  CHECK(missing.status == 1);
  CHECK(has(missing.out, "incomplete"));
  CHECK(has(missing.out, "run `kernels download`"));
  REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  auto targets = world.kernels({"check", "--all-targets", "--json"});
  CHECK(targets.status == 1);
  auto report = json::parse(targets.out);
  CHECK(report["schema"] == "kernels.check/1");
  REQUIRE(report["kernels"].size() == 2);
  CHECK(report["kernels"][0]["verdict"] == "would not run");
  CHECK(report["kernels"][0]["uncovered_capabilities"] == json{"8.0"});
  CHECK(report["kernels"][1]["verdict"] == "runs");
  for (const auto& blob : std::filesystem::directory_iterator(world.cache() / "kernels--acme--relu/blobs"))
    if (std::filesystem::file_size(blob) > 20) std::ofstream(blob.path(), std::ios::app) << "x";
  auto damaged = world.kernels({"check"});
  CHECK(damaged.status == 4);
  CHECK(has(damaged.out, "with other bytes than the lock"));
}

TEST_CASE("check: a file that changed without changing its size is found", "[cli]") {
  World world;
  prepare(world);
  REQUIRE(world.kernels({"download"}).status == 0);
  auto blobs = world.cache() / "kernels--acme--relu/blobs";
  auto blob = std::filesystem::directory_iterator(blobs)->path();
  auto times = std::filesystem::last_write_time(blob);
  auto size = std::filesystem::file_size(blob);
  std::ofstream(blob, std::ios::binary) << std::string(size, 'E');
  std::filesystem::last_write_time(blob, times);
  CHECK(world.kernels({"check"}).status == 4);
}

TEST_CASE("check: --explain shows every variant with its reason", "[cli]") {
  World world;
  prepare(world);
  REQUIRE(world.kernels({"download"}).status == 0);
  auto run = world.kernels({"check", "--explain", "--target", "os=linux,tvm-ffi=0.1"});
  CHECK(run.status == 0);
  CHECK(has(run.out, "tvm-ffi01-cpu-x86_64-linux    chosen"));
  CHECK(has(run.out, "tvm-ffi01-cu130-x86_64-linux  built for CUDA 13.0"));
}

TEST_CASE("check: without kernels.sum the cached files are checked against their names", "[cli]") {
  World world;
  prepare(world);
  REQUIRE(world.kernels({"download"}).status == 0);
  std::filesystem::remove(world.folder() / "kernels.sum");
  auto run = world.kernels({"check"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.err, "there is no `kernels.sum`"));
}

TEST_CASE("check, download: what follows a target is the project's folder, not a second target", "[cli]") {
  World world;
  prepare(world);
  auto project = world.folder().string();
  for (const char* command : {"download", "check"}) {
    auto run = world.kernels({command, "--target", "hopper", project});
    INFO(run.out << run.err);
    CHECK(run.status == 0);
  }
  auto two = world.kernels({"check", "--json", "--target", "hopper", "--target", "ampere", project});
  CHECK(json::parse(two.out)["targets"].size() == 2);
}

TEST_CASE("check: an unknown target is refused with the names that exist", "[cli]") {
  World world;
  prepare(world);
  auto run = world.kernels({"check", "--target", "hoper"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "did you mean `hopper`?"));
}

namespace {

/// A kernel for the CPU and for CUDA with these layers, which support every mode.
std::string publish_layers(World& world, const std::string& name, const std::vector<std::string>& layers) {
  std::string source = "import torch.nn as nn\n";
  for (const auto& layer : layers)
    source += "class " + layer + "(nn.Module):\n    has_backward = True\n    can_torch_compile = True\n" +
              "    def forward(self, x):\n        return x\n";
  std::map<std::string, std::string> files = {
      {"__init__.py", "x"}, {"a.so", cpu_library(name)}, {"layers/__init__.py", source}};
  auto cuda_files = files;
  cuda_files["a.so"] = cuda_library(name);
  return world.publish(
      {.repo = "acme/" + name,
       .variants = {{"tvm-ffi01-cpu-x86_64-linux", files}, {"tvm-ffi01-cu130-x86_64-linux", cuda_files}}});
}

/// A layer for every way to a decision: by range, by mode, for another device, a kernel without a variant.
struct LayerWorld {
  World world;
  std::string rms_commit = publish_layers(world, "rmsnorm", {"AmpereRMSNorm", "HopperRMSNorm"});
  std::string relu_commit = publish_layers(world, "relu", {"Relu", "PlainRelu", "TrainingRMSNorm", "Gelu"});
  std::string cpu_commit = world.publish(
      {.repo = "acme/cpu-only", .variants = {{"tvm-ffi01-cpu-x86_64-linux", {{"a.so", cpu_library("x")}}}}});

  LayerWorld() {
    world.project(R"([dependencies]
"acme/rmsnorm" = 1
"acme/relu" = 1
"acme/cpu-only" = 1

[[layers.RMSNorm.cuda]]
repo = "acme/rmsnorm"
layer = "AmpereRMSNorm"
mode = "inference"
min-capability = 75
max-capability = 89
[[layers.RMSNorm.cuda]]
repo = "acme/rmsnorm"
layer = "HopperRMSNorm"
mode = "inference|torch-compile"
min-capability = 90
[[layers.RMSNorm.cuda]]
repo = "acme/relu"
layer = "TrainingRMSNorm"
mode = "training"
min-capability = 90

[layers.Relu]
cuda = { repo = "acme/relu" }
cpu = { repo = "acme/relu", layer = "PlainRelu" }

[layers.Gelu]
rocm = { repo = "acme/relu" }

[layers.Mul]
cuda = { repo = "acme/cpu-only" }

[targets.fleet]
cuda = "13.0"
tvm-ffi = "0.1"
capability = ["9.0", "8.0", "10.0", "9.0"]
[targets.hidden]
cuda = "13.0"
tvm-ffi = "0.1"
[targets.plain]
tvm-ffi = "0.1"
)");
    auto locked = world.kernels({"lock"});
    INFO(locked.err);
    REQUIRE(locked.status == 0);
    REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  }

  /// The abbreviated commits replaced by names of the same length.
  std::string without_commits(std::string text) const {
    for (const auto& [commit, name] :
         {std::pair(rms_commit, "<rmsnorm--->"), std::pair(relu_commit, "<relu------>"),
          std::pair(cpu_commit, "<cpu-only-->")})
      for (auto at = text.find(commit.substr(0, 12)); at != std::string::npos;
           at = text.find(commit.substr(0, 12)))
        text.replace(at, 12, name);
    return text;
  }
};

}  // namespace

TEST_CASE("check: the layers of a lock are shown with what each target would choose, and why", "[cli]") {
  LayerWorld layers;
  auto run = layers.world.kernels({"check", "--all-targets"});
  INFO(run.err);
  auto begin = run.out.find("layers in the lock:");
  REQUIRE(begin != std::string::npos);
  CHECK(layers.without_commits(run.out.substr(begin)) ==
        R"(layers in the lock:
LAYER    DEVICE  CAPABILITY  MODE                     KERNEL
RMSNorm  cuda    7.5 to 8.9  inference                acme/rmsnorm <rmsnorm---> AmpereRMSNorm
RMSNorm  cuda    9.0 and up  inference|torch-compile  acme/rmsnorm <rmsnorm---> HopperRMSNorm
RMSNorm  cuda    9.0 and up  training                 acme/relu <relu------> TrainingRMSNorm
Relu     cuda    any         fallback                 acme/relu <relu------> Relu
Relu     cpu     -           fallback                 acme/relu <relu------> PlainRelu
Gelu     rocm    any         fallback                 acme/relu <relu------> Gelu
Mul      cuda    any         fallback                 acme/cpu-only <cpu-only--> Mul

layers on fleet:
LAYER    CAPABILITY      MODE                     CHOICE
RMSNorm  8.0             inference                acme/rmsnorm <rmsnorm---> AmpereRMSNorm for
                                                  inference
RMSNorm  8.0             inference|torch-compile  own forward: no kernel for this mode, only for
                         training                 inference
                         training|torch-compile
RMSNorm  9.0, 10.0       inference                acme/rmsnorm <rmsnorm---> HopperRMSNorm for
                         inference|torch-compile  inference|torch-compile
RMSNorm  9.0, 10.0       training                 acme/relu <relu------> TrainingRMSNorm for
                                                  training
RMSNorm  9.0, 10.0       training|torch-compile   own forward: no kernel for this mode, only for
                                                  training, inference|torch-compile
Relu     8.0, 9.0, 10.0  every mode               acme/relu <relu------> Relu for fallback
Gelu     8.0, 9.0, 10.0  every mode               own forward: no kernel for cuda, only for rocm
Mul      8.0, 9.0, 10.0  every mode               own forward: acme/cpu-only has no variant for this
                                                  target
1 of 4 layers would always take a kernel

layers on hidden:
LAYER    CAPABILITY  MODE        CHOICE
RMSNorm  unknown     every mode  unknown: depends on the capability, which the target does not name:
                                 kernels for 7.5 to 8.9, 9.0 and up
Relu     unknown     every mode  acme/relu <relu------> Relu for fallback
Gelu     unknown     every mode  own forward: no kernel for cuda, only for rocm
Mul      unknown     every mode  own forward: acme/cpu-only has no variant for this target
1 of 4 layers would always take a kernel

layers on plain:
LAYER    CAPABILITY  MODE        CHOICE
RMSNorm  -           every mode  own forward: no kernel for cpu, only for cuda
Relu     -           every mode  acme/relu <relu------> PlainRelu for fallback
Gelu     -           every mode  own forward: no kernel for cpu, only for rocm
Mul      -           every mode  own forward: no kernel for cpu, only for cuda
1 of 4 layers would always take a kernel
)");
}

TEST_CASE("check: --json has a decision for each layer, capability and mode of a target", "[cli]") {
  LayerWorld layers;
  auto run = layers.world.kernels({"check", "--target", "fleet", "--json"});
  auto report = json::parse(run.out);
  CHECK(report["schema"] == "kernels.check/1");
  REQUIRE(report["layers"].size() == 7);
  CHECK(report["layers"][4] == json{{"layer", "Relu"},
                                    {"device", "cpu"},
                                    {"mode", "fallback"},
                                    {"min_capability", 0},
                                    {"max_capability", 9999},
                                    {"repo_id", "acme/relu"},
                                    {"commit", layers.relu_commit},
                                    {"kernel_layer", "PlainRelu"},
                                    {"has_backward", true},
                                    {"can_torch_compile", true},
                                    {"forward", {"self", "x"}}});
  const auto& decisions = report["layer_decisions"];
  REQUIRE(decisions.size() == 4 * 3 * 4);
  CHECK(decisions[4] == json{{"layer", "RMSNorm"},
                             {"target", "fleet"},
                             {"device", "cuda"},
                             {"capability", "9.0"},
                             {"mode", "inference"},
                             {"choice", "kernel"},
                             {"fallback", nullptr},
                             {"reason", nullptr},
                             {"repo_id", "acme/rmsnorm"},
                             {"commit", layers.rms_commit},
                             {"kernel_layer", "HopperRMSNorm"},
                             {"registered_mode", "inference|torch-compile"},
                             {"min_capability", 90},
                             {"max_capability", 9999},
                             {"variant", "tvm-ffi01-cu130-x86_64-linux"}});
  CHECK(decisions[1]["mode"] == "inference|torch-compile");
  CHECK(decisions[1]["choice"] == "own forward");
  CHECK(decisions[1]["fallback"] == "no mode");
  CHECK(decisions[1]["repo_id"].is_null());
  CHECK(decisions[47]["fallback"] == "no variant");
  CHECK(decisions[47]["repo_id"] == "acme/cpu-only");
  auto hidden = json::parse(layers.world.kernels({"check", "--target", "hidden", "--json"}).out);
  CHECK(hidden["layer_decisions"][0]["choice"] == "unknown");
  CHECK(hidden["layer_decisions"][0]["capability"].is_null());
}

TEST_CASE("check: --fail-on-fallback is a no for every layer without a kernel, in the modes asked for",
          "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(
      "[dependencies]\n\"acme/relu\" = 1\n"
      "[[layers.Relu.cuda]]\nrepo = \"acme/relu\"\nmode = \"inference\"\nmin-capability = 90\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  struct Row {
    const char* name;
    const char* capability;
    std::vector<std::string> arguments;
    int status;
  };
  const std::vector<Row> rows = {
      {"fallbacks alone are no failure", ",capability=9.0", {}, 0},
      {"training has no kernel", ",capability=9.0", {"--fail-on-fallback"}, 1},
      {"inference has one", ",capability=9.0", {"--fail-on-fallback", "--mode", "inference"}, 0},
      {"one of two modes has none",
       ",capability=9.0",
       {"--fail-on-fallback", "--mode", "inference", "--mode", "training"},
       1},
      {"newer code runs on 10.0", ",capability=10.0", {"--fail-on-fallback", "--mode", "inference"}, 0},
      {"what cannot be told is no yes", "", {"--fail-on-fallback", "--mode", "inference"}, 1},
      {"unknown alone is no failure", "", {"--mode", "inference"}, 0}};
  for (const auto& row : rows) {
    auto arguments = row.arguments;
    arguments.insert(arguments.begin(),
                     {"check", "--target", std::string("cuda=13.0,tvm-ffi=0.1") + row.capability});
    auto run = world.kernels(arguments);
    INFO(row.name << "\n" << run.out << run.err);
    CHECK(run.status == row.status);
  }
}

TEST_CASE("check: --mode shows that mode only, and refuses what no model runs in", "[cli]") {
  LayerWorld layers;
  auto run = layers.world.kernels({"check", "--target", "plain", "--mode", "training", "."});
  CHECK(run.status == 0);
  CHECK(has(run.out, "Relu     -           training  acme/relu"));
  CHECK_FALSE(has(run.out, "every mode"));
  for (const char* mode : {"fallback", "torch-compile", "speed", "inference|training", ""}) {
    CAPTURE(mode);
    auto refused = layers.world.kernels({"check", "--mode", mode});
    CHECK(refused.status == 2);
    CHECK(has(refused.err, "mode"));
    CHECK(has(refused.err, "hint:"));
  }
}

TEST_CASE("check: --fail-on-fallback does not take a missing kernels.sum for no fallback", "[cli]") {
  World world;
  prepare(world);
  REQUIRE(world.kernels({"download"}).status == 0);
  CHECK(world.kernels({"check", "--fail-on-fallback"}).status == 0);
  std::filesystem::remove(world.folder() / "kernels.sum");
  auto run = world.kernels({"check", "--fail-on-fallback"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "there is no `kernels.sum`"));
  CHECK(has(run.err, "run `kernels lock`"));
}

TEST_CASE("check: control characters in a tampered kernels.sum do not reach the terminal", "[cli]") {
  LayerWorld layers;
  auto sum = layers.world.read("kernels.sum");
  for (const std::string name : {"\"Gelu\"", "\"PlainRelu\""}) {
    REQUIRE(has(sum, name));
    for (auto at = sum.find(name); at != std::string::npos; at = sum.find(name))
      sum.replace(at, name.size(), R"("x\u001b[31m\ny")");
  }
  std::ofstream(layers.world.folder() / "kernels.sum", std::ios::binary) << sum;
  auto run = layers.world.kernels({"check", "--target", "plain"});
  INFO(run.out << run.err);
  CHECK(has(run.out, "x?[31m?y  rocm"));
  CHECK(has(run.out, " x?[31m?y for fallback"));
  CHECK_FALSE(has(run.out, "\x1b"));
}

TEST_CASE("check: a lock without layers says nothing of layers", "[cli]") {
  World world;
  prepare(world);
  CHECK_FALSE(has(world.kernels({"check"}).out, "layer"));
  auto report = json::parse(world.kernels({"check", "--json"}).out);
  CHECK(report["layers"] == json::array());
  CHECK(report["layer_decisions"] == json::array());
}

TEST_CASE("check: the tables of layers stay within 100 columns and lose nothing, however long the names",
          "[cli]") {
  World world;
  std::string kernel(90, 'k');
  std::string layer(70, 'L');
  std::string target(60, 't');
  publish_layers(world, kernel, {std::string(80, 'M')});
  world.project("[layers." + layer + "]\ncuda = { repo = \"acme/" + kernel + "\", version = 1, layer = \"" +
                std::string(80, 'M') + "\" }\n[targets." + target +
                "]\ncuda = \"13.0\"\ntvm-ffi = \"0.1\"\n");
  auto locked = world.kernels({"lock"});
  INFO(locked.err);
  REQUIRE(locked.status == 0);
  auto run = world.kernels({"check", "--all-targets"});
  auto begin = run.out.find("layers in the lock:");
  REQUIRE(begin != std::string::npos);
  auto shown = run.out.substr(begin);
  INFO(shown);
  std::istringstream lines(shown);
  for (std::string line; std::getline(lines, line);)
    CHECK(line.size() <= 100);
  CHECK(std::ranges::count(shown, 'k') >= 2 * 90);
  CHECK(std::ranges::count(shown, 'L') >= 2 * 70);
  CHECK(std::ranges::count(shown, 'M') >= 2 * 80);
}
