#include "kernels/base/file.h"
#include "kernels/layers/kernelize.h"
#include "kernels/ops/kernel_source.h"

#include "models.h"
#include "support/catch.h"
#include "support/world.h"

using namespace kernels;
using namespace kernels::layers;
using namespace kernels::test;

namespace {

/// A Hub that serves the activation kernel of this build under a name of the test's own.
struct Published {
  explicit Published(const std::string& repo) {
    Publication publication{.repo = repo, .variants = {}};
    for (const auto& variant : built_variants()) {
      if (variant.kernel != "activation" || variant.cuda) continue;
      auto& files = publication.variants[variant.folder.filename().string()];
      for (const char* name : {"layers.toml", "__init__.py"})
        files[name] = *read_file(variant.folder / name);
      files[variant.library.filename().string()] = *read_file(variant.library);
    }
    commit = world.publish(publication);
    world.hub->forget_seen();
    set_kernel_source(source(world.cache(), world.hub->url()));
  }
  World world;
  std::string commit;
};

}  // namespace

TEST_CASE("source: a kernel of the Hub is fetched once for a process, whatever uses it", "[layers]") {
  Published hub("acme/activation");
  auto scope = use_kernel_mapping(
      map_to(LayerRepository{.repo_id = "acme/activation", .layer_name = "SiluAndMul", .version = 1}),
      InheritMapping::no);
  REQUIRE(scope);
  CHECK(hub.world.hub->seen().empty());
  Sequential model;
  for (int i = 0; i < 20; ++i)
    model.register_module("layer" + std::to_string(i), std::make_shared<SiluAndMul>());
  auto report = kernelize(model, inference());
  REQUIRE(report);
  CHECK(report->replaced() == 20);
  CHECK(report->layers.front().revision == hub.commit);
  CHECK(report->layers.front().variant.starts_with("tvm-ffi01-cpu-"));
  auto requests = hub.world.hub->seen().size();
  CHECK(requests > 0);
  REQUIRE(kernelize(model, inference()));
  CHECK(hub.world.hub->seen().size() == requests);
}

TEST_CASE("source: a locked kernel is the one of the lock, verified, and needs no listing", "[layers]") {
  Published hub("acme/locked");
  hub.world.project(
      "[dependencies]\n\"acme/locked\" = 1\n[layers.SiluAndMul]\ncpu = { repo = \"acme/locked\" }\n");
  REQUIRE(hub.world.kernels({"lock"}).status == 0);
  hub.world.hub->forget_seen();
  auto mapping = ops::load_kernel_mapping(hub.world.folder());
  REQUIRE(mapping);
  auto scope = use_kernel_mapping(*mapping, InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto report = kernelize(model, inference());
  REQUIRE(report);
  CHECK(report->layers.at(0).revision == hub.commit);
  for (const auto& request : hub.world.hub->seen())
    CHECK_THAT(request.target, contains("/resolve/"));
  REQUIRE(model(floats({1, 4}, {1, 2, 3, 4})));
  CHECK(model.own_calls == 0);
}

TEST_CASE("source: a kernel that was changed after it was locked is refused", "[layers]") {
  Published hub("acme/changed");
  hub.world.project(
      "[dependencies]\n\"acme/changed\" = 1\n[layers.SiluAndMul]\ncpu = { repo = \"acme/changed\" }\n");
  REQUIRE(hub.world.kernels({"lock"}).status == 0);
  auto sum = hub.world.read("kernels.sum");
  auto at = sum.find("\"sha256\":\"");
  REQUIRE(at != std::string::npos);
  sum.replace(at + 10, 4, "0000");
  put(hub.world.folder() / "kernels.sum", sum);
  auto scope = use_kernel_mapping(*ops::load_kernel_mapping(hub.world.folder()), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto done =
      kernelize(model, {.mode = Mode::inference, .device = "cpu", .use_fallback = KernelizeFallback::all});
  REQUIRE_FALSE(done);
  CHECK(done.error().code() == Errc::integrity);
}

TEST_CASE("source: a kernel that is not signed is refused where the project requires signatures",
          "[layers]") {
  Published hub("acme/unsigned");
  hub.world.project(
      "[dependencies]\n\"acme/unsigned\" = 1\n[layers.SiluAndMul]\ncpu = { repo = \"acme/unsigned\" }\n"
      "[trust]\nsignatures = \"require\"\n");
  REQUIRE(hub.world.kernels({"lock"}).status == 0);
  auto scope = use_kernel_mapping(*ops::load_kernel_mapping(hub.world.folder()), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto done =
      kernelize(model, {.mode = Mode::inference, .device = "cpu", .use_fallback = KernelizeFallback::all});
  REQUIRE_FALSE(done);
  CHECK(done.error().code() == Errc::untrusted);
  CHECK_THAT(describe(done.error()), contains("SignatureBundleMissing"));
}

TEST_CASE("source: offline the cache is enough, and what it lacks is named", "[layers]") {
  Published hub("acme/offline");
  hub.world.project("[dependencies]\n\"acme/offline\" = 1\n");
  REQUIRE(hub.world.kernels({"lock"}).status == 0);
  REQUIRE(hub.world.kernels({"download"}).status == 0);
  hub.world.hub->forget_seen();
  set_kernel_source(source(hub.world.cache(), hub.world.hub->url(), true));
  auto use = [](const std::string& repo) {
    auto scope =
        use_kernel_mapping(map_to(LayerRepository{.repo_id = repo, .layer_name = "SiluAndMul", .version = 1}),
                           InheritMapping::no);
    SiluAndMul model;
    return kernelize(model, inference());
  };
  CHECK(use("acme/offline"));
  auto missing = use("acme/nothing");
  REQUIRE_FALSE(missing);
  CHECK_THAT(describe(missing.error()),
             contains("offline, and `acme/nothing` (version 1) is not in the cache"));
  CHECK(hub.world.hub->seen().empty());
}

TEST_CASE("source: unknown repository, version, layer, publisher and variant each say what to do",
          "[layers]") {
  Published hub("acme/known");
  hub.world.publish(
      {.repo = "stranger/kernel", .variants = {{"tvm-ffi01-cpu-x86_64-linux", {{"__init__.py", "x"}}}}});
  hub.world.publish({.repo = "acme/python", .variants = {{"torch-cpu", {{"__init__.py", "x"}}}}});
  struct Row {
    LayerRepository repository;
    const char* text;
  };
  const std::vector<Row> rows = {
      {{.repo_id = "acme/unknown", .layer_name = "SiluAndMul", .version = 1}, "`acme/unknown`"},
      {{.repo_id = "acme/known", .layer_name = "SiluAndMul", .version = 7}, "7"},
      {{.repo_id = "acme/known", .layer_name = "SiluAndMull", .version = 1}, "did you mean `SiluAndMul`?"},
      {{.repo_id = "stranger/kernel", .layer_name = "SiluAndMul", .version = 1}, "stranger"},
      {{.repo_id = "acme/python", .layer_name = "SiluAndMul", .version = 1}, "no variant that C++ can load"},
  };
  for (const auto& row : rows) {
    INFO(row.repository.repo_id);
    auto scope = use_kernel_mapping(map_to(row.repository), InheritMapping::no);
    REQUIRE(scope);
    SiluAndMul model;
    auto done = kernelize(model, inference());
    REQUIRE_FALSE(done);
    CHECK_THAT(describe(done.error()) + done.error().hint(), contains(row.text));
    CHECK_FALSE(done.error().hint().empty());
    CHECK_THAT(describe(done.error()), contains("kernelizing the layer `SiluAndMul`"));
  }
}
