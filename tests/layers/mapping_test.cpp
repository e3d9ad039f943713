#include "kernels/layers/mapping.h"

#include <stdexcept>
#include <thread>

#include "models.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::layers;
using namespace kernels::test;

namespace {

LayerRepository published(std::string repo) {
  return {.repo_id = std::move(repo), .layer_name = "SiluAndMul", .version = 1};
}

/// Which repository is in force for a layer on the CPU: the text of the error that loading it makes, because
/// this Hub is not there.
std::string in_force(const std::string& layer = "SiluAndMul") {
  use_local_source();
  SiluAndMul model(layer);
  auto done = kernelize(model, {.mode = Mode::inference, .device = "cpu"});
  if (done) return to_string(done->layers.at(0).outcome);
  auto text = describe(done.error());
  for (const char* name : {"acme/one", "acme/two", "acme/three"})
    if (text.find(name) != std::string::npos) return name;
  return text;
}

/// Nothing is registered before and after.
struct CleanMapping {
  CleanMapping() { REQUIRE(register_kernel_mapping({}, InheritMapping::no)); }
  ~CleanMapping() { static_cast<void>(register_kernel_mapping({}, InheritMapping::no)); }
  CleanMapping(const CleanMapping&) = delete;
  CleanMapping& operator=(const CleanMapping&) = delete;
};

}  // namespace

TEST_CASE("mapping: registering adds and replaces, without inheritance it erases", "[layers]") {
  CleanMapping clean;
  CHECK(in_force() == "no-layer");
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"))));
  REQUIRE(register_kernel_mapping(map_to(published("acme/two"), "Other")));
  CHECK(in_force() == "acme/one");
  CHECK(in_force("Other") == "acme/two");
  REQUIRE(register_kernel_mapping(map_to(published("acme/three"))));
  CHECK(in_force() == "acme/three");
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"), "Other"), InheritMapping::no));
  CHECK(in_force() == "no-layer");
  CHECK(in_force("Other") == "acme/one");
}

TEST_CASE("mapping: scopes nest, with and without inheritance, and restore", "[layers]") {
  CleanMapping clean;
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"))));
  {
    auto outer = use_kernel_mapping(map_to(published("acme/two"), "Other"));
    REQUIRE(outer);
    CHECK(in_force() == "acme/one");
    CHECK(in_force("Other") == "acme/two");
    {
      auto inner = use_kernel_mapping(map_to(published("acme/three"), "Other"), InheritMapping::no);
      REQUIRE(inner);
      CHECK(in_force() == "no-layer");
      CHECK(in_force("Other") == "acme/three");
      REQUIRE(register_kernel_mapping(map_to(published("acme/two"))));  // belongs to the scope
      CHECK(in_force() == "acme/two");
    }
    CHECK(in_force() == "acme/one");
    CHECK(in_force("Other") == "acme/two");
  }
  CHECK(in_force("Other") == "no-layer");
}

TEST_CASE("mapping: a scope that an exception leaves restores what was before", "[layers]") {
  CleanMapping clean;
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"))));
  auto leave = [] {
    auto scope = use_kernel_mapping(map_to(published("acme/two")));
    REQUIRE(scope);
    throw std::runtime_error("left");
  };
  CHECK_THROWS_AS(leave(), std::runtime_error);
  CHECK(in_force() == "acme/one");
}

TEST_CASE("mapping: scopes belong to their thread, what is registered outside belongs to all", "[layers]") {
  CleanMapping clean;
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"))));
  auto scope = use_kernel_mapping(map_to(published("acme/two")));
  REQUIRE(scope);
  std::string seen;
  std::thread([&] {
    seen = in_force();
    static_cast<void>(register_kernel_mapping(map_to(published("acme/three"), "Other")));
  }).join();
  CHECK(seen == "acme/one");
  CHECK(in_force() == "acme/two");
  CHECK(in_force("Other") == "no-layer");  // the scope began before
}

TEST_CASE("mapping: registering makes no request", "[layers]") {
  CleanMapping clean;
  // No source of kernels could answer: there is none.
  set_kernel_source(nullptr);
  REQUIRE(register_kernel_mapping(map_to(published("acme/one"))));
  SiluAndMul model;
  auto done = kernelize(model, {.mode = Mode::inference, .device = "cpu"});
  REQUIRE_FALSE(done);
  CHECK_THAT(describe(done.error()), contains("there is no source of kernels"));
}

TEST_CASE("mapping: what cannot be meant is refused, and nothing of it is registered", "[layers]") {
  CleanMapping clean;
  auto good = published("acme/one");
  auto with = [&](auto change) {
    auto out = good;
    change(out);
    return out;
  };
  struct Row {
    const char* name;
    KernelMapping mapping;
    const char* text;
  };
  std::vector<Row> rows = {
      {"nothing", {}, "the mapping is empty"},
      {"no device", {{"SiluAndMul", {}}}, "there is no device"},
      {"no mode", {{"SiluAndMul", {{"cpu", ModeRepositories{}}}}}, "no kernel for any mode"},
      {"unknown device", map_to(good, "SiluAndMul", "cudo"), "`cudo` is not a device"},
      {"no repository", map_to(with([](auto& r) { r.repo_id = "a/b/c"; })), "`a/b/c`"},
      {"no layer name", map_to(with([](auto& r) { r.layer_name = ""; })), "name of the layer is missing"},
      {"version and revision", map_to(with([](auto& r) { r.revision = "main"; })), "exclude each other"},
      {"bad specifier", map_to(with([](auto& r) { r.version = ">=x"; })), ">=x"},
      {"empty range",
       {{"SiluAndMul", {{Device("cuda", CudaProperties{.min_capability = 90, .max_capability = 80}), good}}}},
       "from 90 to 80 is empty"},
      {"properties of another device",
       {{"SiluAndMul", {{Device("cpu", CudaProperties{.min_capability = 70, .max_capability = 80}), good}}}},
       "CudaProperties are only for `cuda`"},
      {"ROCm properties on CUDA",
       {{"SiluAndMul", {{Device("cuda", RocmProperties{.min_capability = 70, .max_capability = 80}), good}}}},
       "RocmProperties are only for `rocm`"},
      {"inference and training",
       {{"SiluAndMul", {{"cpu", {{Mode::inference | Mode::training, good}}}}}},
       "exclude each other"},
      {"fallback with another",
       {{"SiluAndMul", {{"cpu", {{Mode::fallback | Mode::inference, good}}}}}},
       "`fallback` cannot be combined"},
      {"no name", map_to(good, ""), "without the name of a layer"},
  };
  REQUIRE(register_kernel_mapping(map_to(published("acme/two"))));
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      auto done = register_kernel_mapping(row.mapping);
      REQUIRE_FALSE(done);
      CHECK(done.error().code() == Errc::invalid_argument);
      CHECK_THAT(describe(done.error()), contains(row.text));
      CHECK_FALSE(use_kernel_mapping(row.mapping));
      CHECK(in_force() == "acme/two");
    }
  }
}
