// What `lock` says about the layers of a project, from the kernels' layer sources, which it never runs.

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const char* const kNorm = R"(import torch
from ._fast import Fast

class RMSNorm(torch.nn.Module):
    has_backward = False
    can_torch_compile = True
    def forward(self, hidden_states, *rest, eps: float = 1e-6):
        return hidden_states

class GemmaNorm(torch.nn.Module):
    def forward(self, x):
        return x

class Heavy(torch.nn.Module):
    scale = 1
    def __init__(self):
        super().__init__()
)";

/// `acme/norm` with these layer sources, by variant.
void publish_norm(World& world, const std::map<std::string, std::map<std::string, std::string>>& sources) {
  Publication norm{.repo = "acme/norm", .variants = {}};
  for (const auto& [variant, files] : sources) {
    norm.variants[variant] = files;
    norm.variants[variant].emplace("__init__.py", "from . import layers\n");
  }
  world.publish(norm);
}

std::string row(const std::string& device, const std::string& rest) {
  return "[layers.Norm]\n" + device + " = { repo = \"acme/norm\", version = 1, " + rest + " }\n";
}

struct Locked {
  Outcome run;
  json layer;
};

Locked lock(World& world, const std::string& project) {
  world.project(project);
  auto run = world.kernels({"lock"});
  auto sum = run.status == 0 ? json::parse(world.read("kernels.sum"))["layers"][0] : json();
  return {.run = run, .layer = sum};
}

const char* const kTorchCuda = "torch-cuda";

}  // namespace

TEST_CASE("layers: what the layer source says is recorded, and asked for once", "[cli]") {
  World world;
  publish_norm(
      world, {{kTorchCuda, {{"layers/__init__.py", kNorm}}}, {"torch-cpu", {{"layers/__init__.py", kNorm}}}});
  auto locked = lock(world, row("cuda", "layer = \"RMSNorm\", mode = \"inference|torch-compile\""));
  INFO(locked.run.err);
  REQUIRE(locked.run.status == 0);
  CHECK(locked.run.err.empty());
  CHECK(locked.layer["has_backward"] == false);
  CHECK(locked.layer["can_torch_compile"] == true);
  CHECK(locked.layer["forward"] == json({"self", "hidden_states", "*rest", "eps"}));
  CHECK(world.hub->count("GET", "layers/__init__.py") == 1);
  world.hub->forget_seen();
  CHECK(world.kernels({"lock", "--check"}).status == 0);
  CHECK(world.hub->seen().empty());
}

TEST_CASE("layers: the layer source is asked for together with the metadata, right after the listing",
          "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  std::string gone = GENERATE("metadata.json", "/tree/");
  world.hub->add({.path_pattern = gone, .lie = lie::status(404)});
  CHECK(lock(world, row("cuda", "layer = \"RMSNorm\"")).run.status != 0);
  // What failed was asked for; what waits for it was not.
  CHECK(world.hub->count("GET", gone) == 1);
  CHECK(world.hub->count("GET", "layers.py") == (gone == "metadata.json" ? 1 : 0));
}

TEST_CASE("layers: a layer source that was changed on the way is refused", "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  world.hub->add({.path_pattern = "/layers.py", .lie = lie::status(200, {}, "class Evil: pass\n")});
  auto run = lock(world, row("cuda", "layer = \"Evil\"")).run;
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "`build/torch-cuda/layers.py` has the hash"));
}

TEST_CASE("layers: without flags in the text Python's defaults are recorded", "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  auto locked = lock(world, row("cuda", "layer = \"GemmaNorm\", mode = \"training\""));
  INFO(locked.run.err);
  REQUIRE(locked.run.status == 0);
  CHECK(locked.layer["has_backward"] == true);
  CHECK(locked.layer["can_torch_compile"] == false);
}

TEST_CASE("layers: what the layer source contradicts is refused, with repository, layer and a way out",
          "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  struct Row {
    const char* rest;
    int status;
    const char* text;
    const char* hint;
  };
  auto item = GENERATE(values<Row>({
      {"layer = \"RMSNrom\"", 1,
       "kernels.toml:2: `acme/norm` (version 1) has no layer `RMSNrom`; its layers are `RMSNorm`, "
       "`GemmaNorm`, `Heavy`",
       "did you mean `RMSNorm`?"},
      {"mode = \"inference\"", 1, "has no layer `Norm`", "hint: "},
      {"layer = \"RMSNorm\", mode = \"training\"", 2,
       "kernels.toml:2: the layer `RMSNorm` of `acme/norm` does not support backward, was registered for "
       "`Norm` on cuda "
       "with mode `training`",
       "`inference`"},
      {"layer = \"RMSNorm\", mode = \"training|torch-compile\"", 2, "does not support backward",
       "`inference`"},
      {"layer = \"GemmaNorm\", mode = \"training|torch-compile\"", 2,
       "does not support torch.compile, was registered", "without `torch-compile`"},
  }));
  CAPTURE(item.rest);
  auto run = lock(world, row("cuda", item.rest)).run;
  INFO(run.err);
  CHECK(run.status == item.status);
  CHECK(has(run.err, item.text));
  CHECK(has(run.err, item.hint));
  CHECK(World::files_below(world.folder()) == std::vector<std::string>{"kernels.toml"});
}

TEST_CASE("layers: a mode that a kept pin does not support is refused without asking the Hub", "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  REQUIRE(lock(world, row("cuda", "layer = \"RMSNorm\", mode = \"inference\"")).run.status == 0);
  world.hub->forget_seen();
  auto run = lock(world, row("cuda", "layer = \"RMSNorm\", mode = \"training\"")).run;
  CHECK(run.status == 2);
  CHECK(has(run.err, "does not support backward"));
  CHECK(world.hub->seen().empty());
}

TEST_CASE("layers: what the text does not tell is no error, and null", "[cli]") {
  World world;
  struct Row {
    const char* name;
    const char* file;
    std::string source;
    const char* rest;
    const char* warning;
  };
  auto item = GENERATE(values<Row>({
      {"imported from elsewhere", "layers.py", kNorm, "layer = \"Fast\"", ""},
      {"imported, for training", "layers.py", kNorm, "layer = \"Fast\", mode = \"training\"",
       "whether the layer `Fast` of `acme/norm` supports the mode `training` shows only when it is used"},
      {"everything imported", "layers/__init__.py", "from ._all import *\n", "layer = \"X\"", ""},
      {"broken text", "layers.py", "class X(:\n", "layer = \"X\", mode = \"training\"",
       "was not checked: `build/torch-cuda/layers.py`: line 1: "},
      {"not text", "layers.py", "\xff\xfe", "layer = \"X\"", "not UTF-8"},
      {"too long", "layers.py", std::string((1 << 20) + 1, '#'), "layer = \"X\"",
       "longer than 1048576 bytes"},
      {"no layer source", "other.py", "x\n", "layer = \"X\"", "no layer source"},
      {"a declaration of another form", "layers.toml", "", "layer = \"X\"", "expected `schema = 1`"},
  }));
  INFO(item.name);
  publish_norm(world, {{kTorchCuda, {{item.file, item.source}}}});
  auto locked = lock(world, row("cuda", item.rest));
  INFO(locked.run.err);
  REQUIRE(locked.run.status == 0);
  for (const char* key : {"has_backward", "can_torch_compile", "forward"})
    CHECK((locked.layer.contains(key) && locked.layer[key].is_null()));
  CHECK(has(locked.run.err, "warning: ") == (*item.warning != '\0'));
  CHECK(has(locked.run.err, item.warning));
  world.hub->forget_seen();
  CHECK(world.kernels({"lock", "--check"}).status == 0);
  CHECK(world.hub->seen().empty());
}

TEST_CASE("layers: the source is that of the variants which the device can use", "[cli]") {
  World world;
  std::string other = "class Other: pass\n";
  publish_norm(world, {{"torch-cpu", {{"layers.py", other}}}, {kTorchCuda, {{"layers.py", kNorm}}}});
  CHECK(lock(world, row("cuda", "layer = \"RMSNorm\"")).run.status == 0);
  CHECK(lock(world, row("cpu", "layer = \"RMSNorm\"")).run.status == 1);
  auto none = lock(world, row("rocm", "layer = \"RMSNorm\"")).run;
  CHECK(none.status == 0);
  CHECK(has(none.err, "it has no variant for the device `rocm`"));
}

TEST_CASE("layers: variants that differ are known where they agree", "[cli]") {
  World world;
  std::string with =
      "import torch\nclass A(torch.nn.Module):\n    has_backward = False\n    can_torch_compile = True\n";
  std::string without = "import torch\nclass A(torch.nn.Module):\n    has_backward = False\n";
  publish_norm(world, {{"torch210-cxx11-cu128-x86_64-linux", {{"layers.py", with}}},
                       {"torch211-cxx11-cu130-x86_64-linux", {{"layers.py", without}}},
                       {"torch29-cxx11-cu130-x86_64-linux", {{"layers.py", without}}}});
  auto locked = lock(world, row("cuda", "layer = \"A\""));
  REQUIRE(locked.run.status == 0);
  CHECK(locked.layer["has_backward"] == false);
  CHECK(locked.layer["can_torch_compile"].is_null());
  CHECK(world.hub->count("GET", "layers.py") == 2);
}

TEST_CASE("layers: a native declaration counts, alone and beside a Python source", "[cli]") {
  const std::string declared =
      "schema = 1\n[[layers]]\nname = \"NativeNorm\"\nfunction = \"norm\"\nforward = [{name = \"x\"}]\n"
      "outputs = [{name = \"out\", like = \"x\"}]\narguments = [\"out\", \"x\"]\nreturns = [\"out\"]\n"
      "has_backward = false\n[layers.tolerance]\nfloat32 = {relative = 1e-5, absolute = 0}\n";
  auto python = GENERATE(std::string(), std::string(kNorm));
  World world;
  std::map<std::string, std::string> files = {{"layers.toml", declared}};
  if (!python.empty()) files["layers.py"] = python;
  publish_norm(world, {{"tvm-ffi01-cpu-x86_64-linux", files}});
  auto known = lock(world, row("cpu", "layer = \"NativeNorm\""));
  INFO(known.run.err);
  REQUIRE(known.run.status == 0);
  CHECK(known.layer["has_backward"] == false);
  CHECK(known.layer["can_torch_compile"] == false);
  CHECK(known.layer["forward"] == json{"self", "x"});
  auto missing = lock(world, row("cpu", "layer = \"NativeNorms\""));
  CHECK(missing.run.status == 1);
  CHECK(has(missing.run.err, "did you mean `NativeNorm`?"));
  auto training = lock(world, row("cpu", "layer = \"NativeNorm\", mode = \"training\""));
  CHECK(training.run.status == 2);
  CHECK(has(training.run.err, "does not support backward"));
}

TEST_CASE("layers: kernels for one layer that take different numbers of arguments are refused", "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda,
                        {{"layers.py",
                          "import torch\nclass One(torch.nn.Module):\n    def forward(self, x): pass\n"
                          "class Two(torch.nn.Module):\n    def forward(self, x, y): pass\n"
                          "class Any(torch.nn.Module):\n    def forward(self, *args): pass\n"}}}});
  auto rows = [&](const std::string& layer) {
    return lock(world,
                "[[layers.Norm.cuda]]\nrepo = \"acme/norm\"\nversion = 1\nlayer = \"One\"\nmode = "
                "\"inference\"\n"
                "[[layers.Norm.cuda]]\nrepo = \"acme/norm\"\nversion = 1\nlayer = \"" +
                    layer + "\"\nmode = \"training\"\n")
        .run;
  };
  CHECK(rows("One").status == 0);
  CHECK(rows("Any").status == 0);
  auto refused = rows("Two");
  CHECK(refused.status == 2);
  CHECK(
      has(refused.err,
          "`One` of `acme/norm` has `forward(self, x)`, but `Two` of `acme/norm` has `forward(self, x, y)`"));
  CHECK(has(refused.err, "kernels.toml:"));
}

TEST_CASE("layers: the older layout has them in the module's folder", "[cli]") {
  World world;
  world.publish({.repo = "acme/my-norm",
                 .variants = {{kTorchCuda, {{"my_norm/__init__.py", "x\n"}, {"my_norm/layers.py", kNorm}}}}});
  auto locked = lock(world, "[layers.RMSNorm]\ncuda = { repo = \"acme/my-norm\", version = 1 }\n");
  INFO(locked.run.err);
  REQUIRE(locked.run.status == 0);
  CHECK(locked.layer["has_backward"] == false);
}

TEST_CASE("layers: a layer that is not pure locks with warnings", "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  auto run = lock(world, row("cuda", "layer = \"Heavy\"")).run;
  REQUIRE(run.status == 0);
  CHECK(has(run.err, "the layer `Heavy` of `acme/norm` defines `__init__`"));
  CHECK(has(run.err, "has members of its own, `scale`"));
}

TEST_CASE("layers: kernels.lock is the same with and without layers, and an older kernels.sum is completed",
          "[cli]") {
  World world;
  publish_norm(world, {{kTorchCuda, {{"layers.py", kNorm}}}});
  world.project("[dependencies]\n\"acme/norm\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto text = world.read("kernels.lock");
  REQUIRE(
      lock(world, "[dependencies]\n\"acme/norm\" = 1\n" + row("cuda", "layer = \"RMSNorm\"")).run.status ==
      0);
  CHECK(world.read("kernels.lock") == text);
  auto sum = world.read("kernels.sum");
  auto begin = sum.find(",\"has_backward\"");
  REQUIRE(begin != std::string::npos);
  auto older = sum;
  put(world.folder() / "kernels.sum", older.erase(begin, older.find("]}", begin) + 1 - begin));
  REQUIRE(world.kernels({"lock"}).status == 0);
  CHECK(world.read("kernels.sum") == sum);
  CHECK(world.read("kernels.lock") == text);
}
