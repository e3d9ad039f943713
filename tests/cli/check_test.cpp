#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

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
  CHECK(report["kernels"][0]["verdict"] == "wrong architecture");
  CHECK(report["kernels"][0]["uncovered_capabilities"] == json{"8.0"});
  CHECK(report["kernels"][1]["verdict"] == "runs");
  for (const auto& blob : std::filesystem::directory_iterator(world.cache() / "kernels--acme--relu/blobs"))
    if (std::filesystem::file_size(blob) > 20) std::ofstream(blob.path(), std::ios::app) << "x";
  auto damaged = world.kernels({"check"});
  CHECK(damaged.status == 4);
  CHECK(has(damaged.out, "other bytes than were locked"));
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
  CHECK(has(run.out, "tvm-ffi01-cpu-x86_64-linux: chosen"));
  CHECK(has(run.out, "tvm-ffi01-cu130-x86_64-linux: built for CUDA 13.0"));
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

TEST_CASE("check: an unknown target is refused with the names that exist", "[cli]") {
  World world;
  prepare(world);
  auto run = world.kernels({"check", "--target", "hoper"});
  CHECK(run.status == 2);
  CHECK(has(run.err, "did you mean `hopper`?"));
}
