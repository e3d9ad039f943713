#include <functional>

#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/elf_writer.h"
#include "support/gpu_code_writer.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const std::filesystem::path kActivation = std::filesystem::path(KERNELS_TEST_HUB_FOLDER) / "activation";

}  // namespace

TEST_CASE("inspect: functions and layers of a kernel come from its text and symbols", "[cli]") {
  World world;
  auto run =
      world.kernels({"inspect", kActivation.string(), "--variant", "tvm-ffi01-cpu-x86_64-linux", "--json"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["schema"] == "kernels.inspect/1");
  REQUIRE(report["files"].size() == 1);
  const auto& file = report["files"][0];
  CHECK(file["kind"] == "ELF");
  CHECK(file["cpu"] == "x86_64");
  CHECK(file["tvm_ffi_functions"].dump().find("silu_and_mul") != std::string::npos);
  CHECK(file["gpu_code"].empty());
  CHECK(file["manylinux"].get<std::string>().starts_with("manylinux_2_"));
  const auto& variant = report["variants"][0];
  CHECK(variant["python_functions"] == json{"gelu_and_mul", "gelu_tanh_and_mul", "silu_and_mul"});
  CHECK(variant["layers"][0]["name"] == "SiluAndMul");
  CHECK(variant["layers"][0]["has_backward"] == false);
  CHECK(variant["layers"][0]["forward"] == json{"self", "x"});
  CHECK(variant["layers"][0]["native"] == true);
}

TEST_CASE("inspect: GPU code is listed by container, and its functions on demand", "[cli]") {
  World world;
  auto file = world.temp / "mixed.so";
  put(file, write_elf({.data = write_fat_binaries(
                           {{{.arch = 80, .functions = {"_Z4reluPf"}},
                             {.kind = 1, .arch = 90, .functions = {"_Z4reluPf"}, .pack = Pack::lz4}},
                            {{.arch = 100, .suffix = 'a', .functions = {"gelu"}, .pack = Pack::zstd}},
                            {{.arch = 80, .functions = {}}}})}));
  auto run = world.kernels({"inspect", file.string(), "--functions", "--json"});
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out)["files"][0];
  REQUIRE(report["gpu_code"].size() == 4);
  CHECK(report["gpu_code"][0]["container"] == 0);
  CHECK(report["gpu_code"][0]["arch"] == "sm_80");
  CHECK(report["gpu_code"][1]["kind"] == "ptx");
  CHECK(report["gpu_code"][1]["ptx_version"] == "9.0");
  CHECK(report["gpu_code"][1]["compression"] == "lz4");
  CHECK(report["gpu_code"][2]["arch"] == "sm_100a");
  CHECK(report["gpu_code"][2]["container"] == 1);
  CHECK(report["gpu_code"][3]["empty"] == true);
  CHECK(report["gpu_functions"] == json({{"_Z4reluPf"}, {"gelu"}, json::array()}));
  auto text = world.kernels({"inspect", file.string(), "--functions"});
  CHECK(has(text.out, "sm_80 compute_90(PTX 9.0)"));
  CHECK(has(text.out, "relu"));
  CHECK(has(text.out, "without functions"));
}

TEST_CASE("inspect: hostile names cannot write to the terminal", "[cli]") {
  World world;
  auto file = world.temp / "hostile.so";
  put(file,
      write_elf(
          {.soname = "x", .needs = {{.library = "lib\x1b[31mred\r\n.so"}}, .run_path = "\x1b]0;title\x07"}));
  auto run = world.kernels({"inspect", file.string()});
  CHECK(run.status == 0);
  CHECK_FALSE(has(run.out, "\x1b"));
  CHECK_FALSE(has(run.out, "\x07"));
  CHECK_FALSE(has(run.out, "\r"));
}

TEST_CASE("inspect: a hostile library is answered or refused within 64 MB", "[cli]") {
  World world;
  auto repeated = [](std::size_t count, const std::vector<ImageDescription>& images) {
    return write_elf({.data = write_fat_binaries(std::vector(count, images))});
  };
  auto exporting = [](std::size_t count, std::size_t length) {
    ElfDescription library;
    for (std::size_t i = 0; i < count; ++i)
      library.symbols.push_back({.name = "__tvm_ffi_" + std::string(length, 'a') + std::to_string(i)});
    return write_elf(library);
  };
  struct Row {
    const char* name;
    std::function<std::string()> library;
    int status;
  };
  std::vector<Row> rows = {
      {"16,000 containers", [&] { return repeated(16'000, {{.kind = 8, .functions = {}}}); }, 0},
      {"17,000 containers", [&] { return repeated(17'000, {{.kind = 8, .functions = {}}}); }, 1},
      {"compression bombs",
       [&] {
         return repeated(100, {{.kind = 1, .functions = {std::string(15'000'000, 'k')}, .pack = Pack::zstd}});
       },
       0},
      {"long names", [&] { return exporting(200, 30'000); }, 0},
      {"a name longer than any", [&] { return exporting(1, 40'000); }, 1},
      {"100,000 names", [&] { return exporting(100'000, 40); }, 1}};
  for (const auto& row : rows) {
    INFO(row.name);
    auto file = (world.temp / "hostile.so").string();
    put(file, row.library());
    std::vector<std::vector<std::string>> questions = {
        {"inspect", file, "--functions"},
        {"inspect", file, "--json"},
        {"check", file, "--target", "cuda=13.0,capability=8.0"}};
    for (const auto& question : questions) {
      INFO(question.front() << " " << question.back());
      auto run = world.kernels(question, {.measure_memory = true});
      if (question.front() == "inspect") CHECK(run.status == row.status);
      CHECK(run.status <= 1);
#ifndef KERNELS_TEST_SANITIZED  // whose shadow is memory too
      CHECK(run.peak_kib > 0);
      CHECK(run.peak_kib <= 64L << 10);
#endif
    }
  }
}

TEST_CASE("inspect: a kernel on the Hub is read in parts; the cache is read where it has it", "[cli]") {
  World world;
  world.publish_simple("relu");
  auto target = std::string("os=linux,cuda=13.0,tvm-ffi=0.1");
  auto run = world.kernels({"inspect", "acme/relu", "--target", target, "--json"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  auto report = json::parse(run.out);
  CHECK(report["repo_id"] == "acme/relu");
  CHECK(report["revision"] == "v1");
  CHECK(report["files"][0]["variant"] == "tvm-ffi01-cu130-x86_64-linux");
  CHECK(report["files"][0]["gpu_code"].size() == 3);
  CHECK(report["left_out"] == json{"tvm-ffi01-cpu-x86_64-linux"});
  CHECK(report["variants"][0]["layers"][0]["name"] == "Relu");
  CHECK(report["requests"].get<int>() > 0);
  auto all = json::parse(world.kernels({"inspect", "acme/relu", "--all-variants", "--json"}).out);
  CHECK(all["variants"].size() == 2);
}

TEST_CASE("inspect: what cannot be looked into is refused with what there is", "[cli]") {
  World world;
  world.publish_simple("relu");
  auto variant = world.kernels({"inspect", "acme/relu", "--variant", "torch210-cpu-x86_64-linux"});
  CHECK(variant.status == 1);
  CHECK(has(variant.err, "there are: tvm-ffi01-cpu-x86_64-linux, tvm-ffi01-cu130-x86_64-linux"));
  CHECK(world.kernels({"inspect", "not a thing"}).status == 2);
  CHECK(world.kernels({"inspect", kActivation.string(), "--version", "1"}).status == 2);
  put(world.temp / "cut.so", std::string("\x7f"
                                         "ELF\x02\x01\x01",
                                         7));
  auto cut = world.kernels({"inspect", (world.temp / "cut.so").string()});
  CHECK(cut.status == 1);
  CHECK(has(cut.err, "damaged ELF file"));
  put(world.temp / "note.txt", "hello");
  auto text = world.kernels({"inspect", (world.temp / "note.txt").string()});
  CHECK(text.status == 0);
  CHECK(has(text.out, "note.txt: 5 B, other"));
}
