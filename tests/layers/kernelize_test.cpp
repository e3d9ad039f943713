#include "kernels/layers/kernelize.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include "kernels/base/file.h"

#include "models.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::layers;
using namespace kernels::test;

namespace {

constexpr Mode kInference = Mode::inference;
constexpr Mode kTraining = Mode::training;
constexpr Mode kInferenceCompile = Mode::inference | Mode::torch_compile;
constexpr Mode kTrainingCompile = Mode::training | Mode::torch_compile;

const char* const kAll = "has_backward = true\ncan_torch_compile = true";

/// One kernel that supports every mode.
const fs::path& able_repository() {
  static TempFolder folder;
  static const fs::path path = make_repository(folder.path(), kAll);
  return path;
}

LocalLayerRepository able() {
  return {.repo_path = able_repository(), .layer_name = "SiluAndMul"};
}

KernelMapping for_modes(const std::vector<Mode>& modes) {
  std::vector<std::pair<Mode, Repository>> out;
  for (auto mode : modes)
    out.emplace_back(mode, able());
  return {{"SiluAndMul", {{"cpu", ModeRepositories(std::move(out))}}}};
}

const LayerReport& only(const KernelizeReport& report) {
  REQUIRE(report.layers.size() == 1);
  return report.layers.front();
}

std::string text_of(const Result<KernelizeReport>& result) {
  REQUIRE_FALSE(result);
  return describe(result.error()) + "\n" + result.error().hint();
}

}  // namespace

TEST_CASE("kernelize: every row of the mode table", "[layers]") {
  use_local_source();
  struct Row {
    Mode requested;
    std::vector<Mode> order;
  };
  const std::vector<Row> rows = {
      {kInference, {kInference, kInferenceCompile, kTraining, kTrainingCompile, Mode::fallback}},
      {kInferenceCompile, {kInferenceCompile, kTrainingCompile, Mode::fallback}},
      {kTraining, {kTraining, kTrainingCompile, Mode::fallback}},
      {kTrainingCompile, {kTrainingCompile, Mode::fallback}},
  };
  const std::vector<Mode> all = {kInference, kInferenceCompile, kTraining, kTrainingCompile, Mode::fallback};
  for (const auto& row : rows) {
    // Everything is registered; then the modes go one after the other, the preferred one first.
    auto registered = all;
    for (auto expected : row.order) {
      INFO(row.requested.str() << " → " << expected.str());
      auto scope = use_kernel_mapping(for_modes(registered), InheritMapping::no);
      REQUIRE(scope);
      SiluAndMul model;
      auto report = kernelize(model, {.mode = row.requested, .device = "cpu"});
      REQUIRE(report);
      CHECK(only(*report).outcome == Outcome::kernel);
      CHECK(only(*report).registered_mode == expected);
      std::erase(registered, expected);
    }
    if (registered.empty()) continue;
    INFO(row.requested.str() << " → nothing");
    auto scope = use_kernel_mapping(for_modes(registered), InheritMapping::no);
    REQUIRE(scope);
    SiluAndMul model;
    auto report = kernelize(model, {.mode = row.requested, .device = "cpu"});
    REQUIRE(report);
    CHECK(only(*report).outcome == Outcome::no_compatible_mode);
    CHECK_FALSE(model.kernel());
    auto strict = kernelize(model, {.mode = row.requested, .device = "cpu", .use_fallback = false});
    CHECK_THAT(text_of(strict), contains("no kernel for the mode `" + row.requested.str() + "`"));
  }
}

TEST_CASE("kernelize: a mode that is none is refused", "[layers]") {
  SiluAndMul model;
  auto refused = [&](Mode mode, const char* text) {
    CHECK_THAT(text_of(kernelize(model, {.mode = mode, .device = "cpu"})), contains(text));
  };
  refused(Mode::fallback, "fallback");
  refused(Mode::torch_compile, "torch-compile");
  refused(Mode::inference | Mode::training, "exclude each other");
  CHECK_THAT(text_of(kernelize(model, {.mode = kInference, .device = "cpu", .needs_backward = true})),
             contains("exclude each other"));
}

TEST_CASE("kernelize: without a mode it follows the model, or what is needed", "[layers]") {
  use_local_source();
  SiluAndMul model;
  auto mode = [&](KernelizeOptions options) {
    options.device = "cpu";
    auto report = kernelize(model, options);
    REQUIRE(report);
    return report->mode;
  };
  CHECK(mode({}) == kTraining);
  model.eval();
  CHECK(mode({}) == kInference);
  CHECK(mode({.needs_torch_compile = true}) == kInferenceCompile);
  CHECK(mode({.needs_backward = true}) == kTraining);
  CHECK(mode({.needs_backward = true, .needs_torch_compile = true}) == kTrainingCompile);
  model.train();
  CHECK(mode({.needs_backward = false}) == kInference);
}

TEST_CASE("kernelize: the narrowest range that holds the capability wins", "[layers]") {
  use_local_source();
  TempFolder folder;
  auto local = [&](const char* name) {
    return LocalLayerRepository{.repo_path = folder / name, .layer_name = "SiluAndMul"};
  };
  KernelMapping mapping = {
      {"SiluAndMul",
       {{Device("cuda"), local("any")},
        {Device("cuda", CudaProperties{.min_capability = 75, .max_capability = 89}), local("ampere")},
        {Device("cuda", CudaProperties{.min_capability = 80, .max_capability = 86}), local("narrow")},
        {Device("cuda", CudaProperties{.min_capability = 80, .max_capability = 86}), local("replaced")},
        {Device("rocm", RocmProperties{.min_capability = 90, .max_capability = 94}), local("rocm")}}}};
  auto scope = use_kernel_mapping(mapping, InheritMapping::no);
  REQUIRE(scope);
  auto chosen = [&](const char* device, std::uint32_t capability) {
    SiluAndMul model;
    // Nothing can be loaded for these devices here; the error names what was chosen.
    auto done = kernelize(model, {.mode = kInference, .device = device, .capability = capability});
    if (done) return to_string(done->layers.at(0).outcome);
    auto text = describe(done.error());
    for (const char* name : {"any", "ampere", "narrow", "replaced", "rocm"})
      if (text.find((folder / name).string() + "`") != std::string::npos) return std::string(name);
    return text;
  };
  CHECK(chosen("cuda", 70) == "any");
  CHECK(chosen("cuda", 75) == "ampere");
  CHECK(chosen("cuda", 80) == "replaced");
  CHECK(chosen("cuda", 86) == "replaced");
  CHECK(chosen("cuda", 89) == "ampere");
  CHECK(chosen("cuda", 90) == "any");
  CHECK(chosen("rocm", 94) == "rocm");
  CHECK(chosen("rocm", 95) == "no-compatible-properties");
  SiluAndMul model;
  CHECK_THAT(text_of(kernelize(model, {.mode = kInference, .device = "cpu", .capability = 90})),
             contains("has no compute capability"));
}

TEST_CASE("kernelize: each case of falling back is told, and is an error where it is not allowed",
          "[layers]") {
  use_local_source();
  TempFolder folder;
  auto no_backward = LocalLayerRepository{.repo_path = make_repository(folder / "b", "has_backward = false"),
                                          .layer_name = "SiluAndMul"};
  struct Row {
    const char* name;
    KernelMapping mapping;
    Mode mode;
    Outcome outcome;
    const char* reason;
  };
  const std::vector<Row> rows = {
      {"no layer", map_to(able(), "Other"), kInference, Outcome::no_layer, "no mapping for this layer"},
      {"no device", map_to(able(), "SiluAndMul", "cuda"), kInference, Outcome::no_device,
       "no kernel for the device `cpu`"},
      {"no mode", for_modes({kTraining}), kInferenceCompile, Outcome::no_compatible_mode,
       "no kernel for the mode"},
      {"no backward", map_to(no_backward), kTraining, Outcome::not_supported_by_kernel,
       "does not support backward"},
      {"no torch.compile", map_to(no_backward), kInferenceCompile, Outcome::not_supported_by_kernel,
       "does not support torch.compile"},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      auto scope = use_kernel_mapping(row.mapping, InheritMapping::no);
      REQUIRE(scope);
      SiluAndMul model;
      auto report = kernelize(model, {.mode = row.mode, .device = "cpu"});
      REQUIRE(report);
      CHECK(only(*report).outcome == row.outcome);
      CHECK_THAT(only(*report).reason, contains(row.reason));
      CHECK_THAT(report->text(), contains("own forward: "));
      CHECK_FALSE(model.kernel());
      auto strict = kernelize(model, {.mode = row.mode, .device = "cpu", .use_fallback = false});
      REQUIRE_FALSE(strict);
      CHECK(strict.error().code() == Errc::no_match);
      auto text = text_of(strict);
      for (const char* part : {row.reason, "`SiluAndMul`", "device `cpu`"})
        CHECK_THAT(text, contains(part));
      CHECK_THAT(text, contains("mode `" + row.mode.str() + "`"));
    }
  }
}

TEST_CASE("kernelize: a kernel registered for a mode that it does not support is an error", "[layers]") {
  use_local_source();
  TempFolder folder;
  auto poor = LocalLayerRepository{.repo_path = make_repository(folder.path(), "has_backward = false"),
                                   .layer_name = "SiluAndMul"};
  for (auto [mode, text] : {std::pair{kTraining, "does not support backward"},
                            std::pair{kInferenceCompile, "does not support torch.compile"}}) {
    auto scope = use_kernel_mapping({{"SiluAndMul", {{"cpu", {{mode, poor}}}}}}, InheritMapping::no);
    REQUIRE(scope);
    SiluAndMul model;
    auto done = kernelize(model, {.mode = kInference, .device = "cpu"});
    auto said = text_of(done);
    CHECK(done.error().code() == Errc::invalid_argument);
    CHECK_THAT(said, contains(text));
    CHECK_THAT(said, contains("registered for the mode `" + mode.str() + "`"));
  }
}

TEST_CASE("kernelize: loading errors fall back only where that is asked for, and never for damage",
          "[layers]") {
  use_local_source();
  TempFolder folder;
  auto missing = LocalLayerRepository{.repo_path = folder / "missing", .layer_name = "SiluAndMul"};
  auto scope = use_kernel_mapping(map_to(missing), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto strict = kernelize(model, {.mode = kInference, .device = "cpu"});
  CHECK_THAT(text_of(strict), contains((folder / "missing").string()));
  auto lenient =
      kernelize(model, {.mode = kInference, .device = "cpu", .use_fallback = KernelizeFallback::all});
  REQUIRE(lenient);
  CHECK(only(*lenient).outcome == Outcome::cannot_load);

  auto broken = make_repository(folder / "broken", "unknown_key = 1");
  auto again = use_kernel_mapping(
      map_to(LocalLayerRepository{.repo_path = broken, .layer_name = "SiluAndMul"}), InheritMapping::no);
  REQUIRE(again);
  auto damaged =
      kernelize(model, {.mode = kInference, .device = "cpu", .use_fallback = KernelizeFallback::all});
  CHECK_THAT(text_of(damaged), contains("unknown key `unknown_key`"));
}

TEST_CASE("kernelize: a library that lacks the function, takes other arguments or is none is told",
          "[layers]") {
  use_local_source();
  TempFolder folder;
  struct Row {
    const char* name;
    const char* from;
    const char* to;
    const char* text;
  };
  const std::vector<Row> rows = {
      {"function", "\"silu_and_mul\"", "\"silu_and_add\"", "has no function `silu_and_add`"},
      {"arity", "arguments = [\"out\", \"x\"]", "arguments = [\"out\", \"x\", \"x\"]",
       "takes 2 arguments, but `layers.toml` gives it 3"},
      {"library", "", "", "damaged ELF file"},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      auto repository = make_repository(folder / row.name, kAll);
      for (const auto& file : fs::recursive_directory_iterator(repository)) {
        auto text = file.is_regular_file() ? *read_file(file.path()) : std::string();
        if (std::string(row.from).empty() && file.path().extension() == ".so")
          put(file.path(), text.substr(0, text.size() / 2));
        if (auto at = text.find(row.from); file.path().extension() == ".toml" && at != std::string::npos)
          put(file.path(), text.replace(at, std::string(row.from).size(), row.to));
      }
      auto scope = use_kernel_mapping(
          map_to(LocalLayerRepository{.repo_path = repository, .layer_name = "SiluAndMul"}),
          InheritMapping::no);
      REQUIRE(scope);
      SiluAndMul model;
      auto done = kernelize(model, {.mode = kInference, .device = "cpu"});
      INFO(text_of(done));
      CHECK_THAT(text_of(done), contains(row.text));
      CHECK_THAT(text_of(done), contains(repository.string()));
      CHECK_FALSE(model.kernel());
    }
  }
}

TEST_CASE("kernelize: another mode or mapping replaces again, or restores", "[layers]") {
  use_local_source();
  TempFolder folder;
  auto plain = make_repository(folder.path(), "has_backward = false");
  auto scope = use_kernel_mapping(
      map_to(LocalLayerRepository{.repo_path = plain, .layer_name = "SiluAndMul"}), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto x = floats({1, 4}, {1, 2, 3, 4});
  REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  REQUIRE(model(x));
  CHECK(model.own_calls == 0);
  auto first = model.kernel();
  REQUIRE(kernelize(model, {.mode = kTraining, .device = "cpu"}));  // no backward: its own
  REQUIRE(model(x));
  CHECK(model.own_calls == 1);
  REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  CHECK(model.kernel());
  CHECK(model.kernel() != first);
  {
    auto none = use_kernel_mapping(map_to(able(), "Other"), InheritMapping::no);
    REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
    CHECK_FALSE(model.kernel());
  }
}

TEST_CASE("kernelize: after an error the model is as it was", "[layers]") {
  use_local_source();
  TempFolder folder;
  auto mapping = map_to(able());
  mapping.push_back(
      {"Bad", {{"cpu", LocalLayerRepository{.repo_path = folder / "missing", .layer_name = "SiluAndMul"}}}});
  auto scope = use_kernel_mapping(mapping, InheritMapping::no);
  REQUIRE(scope);
  Sequential model;
  auto good = model.register_module("good", std::make_shared<SiluAndMul>());
  auto bad = model.register_module("bad", std::make_shared<SiluAndMul>("Bad"));
  CHECK_FALSE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  CHECK_FALSE(good->kernel());
  CHECK_FALSE(bad->kernel());
}

TEST_CASE("kernelize: the device is that of the first parameter, and an error without parameters",
          "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(able()), InheritMapping::no);
  REQUIRE(scope);
  Sequential model;
  model.register_module("act", std::make_shared<SiluAndMul>());
  model.eval();
  CHECK_THAT(text_of(kernelize(model)), contains("no parameters that would tell its device"));
  model.register_module("norm", std::make_shared<RMSNorm>(floats({4}, {1, 1, 1, 1})));
  auto report = kernelize(model);
  REQUIRE(report);
  CHECK(report->device == DeviceType::cpu);
  CHECK(report->replaced() == 1);
  CHECK(report->layers.at(0).path == "act");
  CHECK(report->layers.at(1).path == "norm");
  CHECK(report->layers.at(1).outcome == Outcome::no_layer);
  CHECK_THAT(text_of(kernelize(model, {.device = "cudo"})), contains("`cudo` is not a device"));
}

TEST_CASE("kernelize: a condition that says no leaves the layer alone", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(able()), InheritMapping::no);
  REQUIRE(scope);
  bool allowed = false;
  SiluAndMul model("SiluAndMul", [&](const Module&) { return allowed; });
  auto report = kernelize(model, {.mode = kInference, .device = "cpu"});
  REQUIRE(report);
  CHECK(only(*report).outcome == Outcome::condition);
  allowed = true;
  REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  CHECK(model.kernel());
  allowed = false;
  REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  CHECK(model.kernel());  // skipped, as Python does
}

TEST_CASE("kernelize: DISABLE_KERNEL_MAPPING makes every layer run its own forward", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(able()), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  REQUIRE(kernelize(model, {.mode = kInference, .device = "cpu"}));
  REQUIRE(model.kernel());
  ::setenv("DISABLE_KERNEL_MAPPING", "1", 1);
  auto report = kernelize(model, {.mode = kInference, .device = "cpu", .use_fallback = false});
  ::unsetenv("DISABLE_KERNEL_MAPPING");
  REQUIRE(report);
  CHECK(only(*report).outcome == Outcome::disabled);
  CHECK_FALSE(model.kernel());
}

TEST_CASE("kernelize: one model in two threads is an error for one of them", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(able()), InheritMapping::no);
  REQUIRE(scope);
  Sequential model;
  std::atomic<bool> inside = false;
  std::atomic<bool> leave = false;
  model.register_module("act", std::make_shared<SiluAndMul>("SiluAndMul", [&](const Module&) {
                          inside = true;
                          while (!leave)
                            std::this_thread::yield();
                          return true;
                        }));
  std::thread other([&] { CHECK(kernelize(model, {.mode = kInference, .device = "cpu"})); });
  while (!inside)
    std::this_thread::yield();
  auto second = kernelize(model, {.mode = kInference, .device = "cpu"});
  leave = true;
  other.join();
  CHECK_THAT(text_of(second), contains("another thread is kernelizing this model"));
  CHECK(kernelize(model, {.mode = kInference, .device = "cpu"}));
}

TEST_CASE("kernelize: a module that a model holds twice is one layer", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(able()), InheritMapping::no);
  REQUIRE(scope);
  Sequential model;
  auto shared = std::make_shared<SiluAndMul>();
  model.register_module("one", shared);
  model.register_module("two", shared);
  auto report = kernelize(model, {.mode = kInference, .device = "cpu"});
  REQUIRE(report);
  CHECK(only(*report).path == "one");
}
