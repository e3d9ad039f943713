#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;

TEST_CASE("program: help, version and mistakes", "[cli]") {
  World world;
  CHECK(has(world.kernels({"--version"}).out, "kernels "));
  auto help = world.kernels({"--help"});
  CHECK(help.status == 0);
  CHECK(has(help.out, "lock"));
  CHECK(world.kernels({}).status == 2);
  auto typo = world.kernels({"lokc"});
  CHECK(typo.status == 2);
  CHECK(has(typo.err, "did you mean `kernels lock`?"));
  auto unknown = world.kernels({"lock", "--chek"});
  CHECK(unknown.status == 2);
  CHECK(has(unknown.err, "--chek"));
  CHECK(world.kernels({"download", "--jobs", "0"}).status == 2);
  auto endpoint = world.kernels({"lock"}, {.environment = {{"HF_ENDPOINT", "ftp://x"}}});
  CHECK(endpoint.status == 2);
  CHECK(has(endpoint.err, "HF_ENDPOINT"));
}

TEST_CASE("program: beside the system's libraries only libcrypto is loaded before it starts", "[cli]") {
  // A second library of C++ more than doubles the time of the start.
  const std::set<std::string> allowed = {
      "libcrypto.so.3",       "libm.so.6",  "libc.so.6",  "ld-linux-x86-64.so.2", "libstdc++.so.6",
      "libgcc_s.so.1",        "libdl.so.2", "librt.so.1", "libresolv.so.2",       "libpthread.so.0",
      "ld-linux-aarch64.so.1"};
  auto run = run_program({KERNELS_PROGRAM, "inspect", KERNELS_PROGRAM, "--json"});
  REQUIRE(run.status == 0);
  const auto needed = nlohmann::json::parse(run.out)["files"][0]["needed"];
  CHECK(needed.size() >= 2);
  for (const auto& library : needed) {
    CAPTURE(library);
    CHECK(allowed.contains(library.get<std::string>()));
  }
}

TEST_CASE("program: a reader that goes away ends it quietly", "[cli]") {
  // The reader is gone before the first byte; with pipefail the status is that of the program.
  auto run = run_program({"bash", "-o", "pipefail", "-c",
                          "(sleep 0.3; exec " + std::string(KERNELS_PROGRAM) + " generate man) | true"});
  CHECK(run.status == 0);
  CHECK(run.err.empty());
}

TEST_CASE("program: results go to stdout and everything else to stderr", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  auto quiet = world.kernels({"-q", "lock"});
  CHECK(quiet.err.empty());
  auto verbose = world.kernels({"-vv", "lock", "--upgrade"});
  CHECK(has(verbose.err, "GET http://127.0.0.1"));
  CHECK_FALSE(has(verbose.out, "GET"));
}

TEST_CASE("program: completion scripts exist for every shell", "[cli]") {
  World world;
  for (const char* shell : {"bash", "zsh", "fish"})
    CHECK(has(world.kernels({"completion", shell}).out, "download"));
  CHECK(world.kernels({"completion", "csh"}).status == 2);
}
