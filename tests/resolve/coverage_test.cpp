#include "kernels/resolve/coverage.h"

#include <algorithm>
#include <random>

#include "kernels/resolve/variants.h"

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::resolve;

namespace {

using Archs = std::vector<std::string>;

VersionVariants built_version(std::uint64_t number,
                              const std::vector<std::pair<std::string, Archs>>& builds) {
  VersionVariants out{.version = number, .name = "v" + std::to_string(number), .variants = {}};
  for (const auto& [name, archs] : builds)
    out.variants.push_back({.variant = *parse_variant(name), .archs = archs});
  return out;
}

std::vector<std::string> row_names(const CoverageTable& table) {
  std::vector<std::string> out;
  for (const auto& row : table.rows)
    out.push_back(row.display());
  return out;
}

std::vector<std::string> column_names(const CoverageTable& table) {
  std::vector<std::string> out;
  for (const auto& column : table.columns)
    out.push_back(column.display());
  return out;
}

/// One line for each row: the chosen variants, `-` for a hole.
std::vector<std::string> chosen(const CoverageTable& table) {
  std::vector<std::string> out;
  for (const auto& row : table.cells) {
    std::string line;
    for (const auto& cell : row)
      line += (line.empty() ? "" : " | ") + (cell.chosen ? cell.chosen->variant.name() : "-");
    out.push_back(std::move(line));
  }
  return out;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("coverage: rows and columns are those of all versions, so that what one dropped is a hole",
          "[resolve]") {
  auto coverage = coverage_of({built_version(1, {{"torch29-cxx11-cu126-x86_64-linux", {}}}),
                               built_version(2, {{"torch210-cxx11-cu128-x86_64-linux", {}},
                                                 {"torch210-cxx11-cpu-x86_64-linux", {}}})});
  REQUIRE(coverage.tables.size() == 2);
  for (const auto& table : coverage.tables) {
    CHECK(row_names(table) == Lines{"2.9", "2.10"});
    CHECK(column_names(table) == Lines{"CPU", "CUDA 12.6", "CUDA 12.8"});
  }
  // A machine with CUDA 12.8 takes a build for 12.6, and not the other way round.
  CHECK(chosen(coverage.tables[0]) ==
        Lines{"- | torch29-cxx11-cu126-x86_64-linux | torch29-cxx11-cu126-x86_64-linux", "- | - | -"});
  CHECK(chosen(coverage.tables[1]) ==
        Lines{"- | - | -", "torch210-cxx11-cpu-x86_64-linux | - | torch210-cxx11-cu128-x86_64-linux"});
}

TEST_CASE("coverage: platforms have tables of their own, Linux on x86_64 first", "[resolve]") {
  auto coverage = coverage_of({built_version(1, {{"torch29-metal-aarch64-darwin", {}},
                                                 {"torch29-cxx11-cpu-aarch64-linux", {}},
                                                 {"torch29-cu128-x86_64-windows", {}},
                                                 {"torch29-cxx11-cu128-x86_64-linux", {}},
                                                 {"torch-metal", {}},
                                                 {"torch-cuda", {}}})});
  Lines platforms;
  for (const auto& table : coverage.tables) {
    auto columns = column_names(table);
    std::string line = table.os + " " + table.cpu + ":";
    for (const auto& column : columns)
      line += " " + column;
    platforms.push_back(line);
    CHECK(row_names(table) == Lines{"2.9", "no torch"});
    CHECK(table.unreachable.empty());
  }
  CHECK(platforms == Lines{"linux x86_64: CUDA 12.8", "linux aarch64: CPU CUDA", "darwin aarch64: Metal",
                           "windows x86_64: CUDA 12.8"});
  CHECK(chosen(coverage.tables[2]) == Lines{"torch29-metal-aarch64-darwin", "torch-metal"});
}

TEST_CASE("coverage: tvm-ffi builds and Python-only ones have rows without torch; the old ABI one of its own",
          "[resolve]") {
  auto coverage = coverage_of({built_version(1, {{"torch26-cxx11-cu124-x86_64-linux", {}},
                                                 {"torch26-cxx98-cu124-x86_64-linux", {}},
                                                 {"tvm-ffi01-cu124-x86_64-linux", {}},
                                                 {"torch-universal", {}}})});
  REQUIRE(coverage.tables.size() == 1);
  CHECK(row_names(coverage.tables[0]) ==
        Lines{"2.6, old C++ ABI", "2.6", "no torch", "no torch, tvm-ffi 0.1"});
  CHECK(chosen(coverage.tables[0]) == Lines{"torch26-cxx98-cu124-x86_64-linux",
                                            "torch26-cxx11-cu124-x86_64-linux", "torch-universal",
                                            "tvm-ffi01-cu124-x86_64-linux"});
}

TEST_CASE("coverage: what a build lacks that others of its version have, and what it does not say",
          "[resolve]") {
  auto coverage = coverage_of(
      {built_version(1, {{"torch210-cxx11-cu126-x86_64-linux", {"8.0", "9.0a"}},
                         {"torch210-cxx11-cu128-x86_64-linux", {"8.0", "9.0", "10.0f", "12.0+PTX"}},
                         {"torch210-cxx11-cu130-x86_64-linux", {}},
                         {"torch210-cxx11-rocm64-x86_64-linux", {"gfx90a"}},
                         {"torch210-cxx11-rocm70-x86_64-linux", {"gfx90a:xnack-", "gfx942"}},
                         {"torch210-cxx11-cpu-x86_64-linux", {}}})});
  REQUIRE(coverage.tables.size() == 1);
  const auto& row = coverage.tables[0].cells[0];
  REQUIRE(row.size() == 6);
  CHECK(row[0].missing.empty());
  CHECK_FALSE(row[0].is_unknown());
  CHECK(row[1].missing == Lines{"10.0", "12.0"});
  CHECK(row[2].missing.empty());
  CHECK(row[3].is_unknown());
  CHECK(row[3].missing.empty());
  CHECK(row[4].missing == Lines{"gfx942"});
  CHECK(row[5].missing.empty());
}

TEST_CASE("coverage: a column is the version that a person means; what nobody can choose is named",
          "[resolve]") {
  auto coverage = coverage_of({built_version(1, {{"torch210-cxx11-rocm710-x86_64-linux", {}},
                                                 {"torch210-cxx11-cu1210-x86_64-linux", {}},
                                                 {"torch210-cxx11-xpu202510-x86_64-linux", {}},
                                                 {"torch-cann", {}}})});
  REQUIRE(coverage.tables.size() == 1);
  CHECK(column_names(coverage.tables[0]) == Lines{"CUDA 12.10", "ROCm 7.10", "XPU 2025.10"});
  CHECK(chosen(coverage.tables[0])[0] ==
        "- | torch210-cxx11-rocm710-x86_64-linux | torch210-cxx11-xpu202510-x86_64-linux");
  CHECK(coverage.tables[0].unreachable == Lines{"torch-cann", "torch210-cxx11-cu1210-x86_64-linux"});
}

TEST_CASE("coverage: Python-only builds need no platform", "[resolve]") {
  auto universal = coverage_of({built_version(1, {{"torch-universal", {}}})});
  REQUIRE(universal.tables.size() == 1);
  CHECK(universal.tables[0].os.empty());
  CHECK(chosen(universal.tables[0]) == Lines{"torch-universal"});
  auto several =
      coverage_of({built_version(1, {{"torch-cuda", {}}, {"torch-npu", {}}, {"torch-metal", {}}})});
  REQUIRE(several.tables.size() == 1);
  CHECK(column_names(several.tables[0]) == Lines{"CUDA", "CANN", "Metal"});
  CHECK(chosen(several.tables[0]) == Lines{"torch-cuda | torch-npu | torch-metal"});
  CHECK(coverage_of({}).tables.empty());
  CHECK(coverage_of({built_version(1, {})}).tables.empty());
}

TEST_CASE("coverage: absurdly many versions of torch and CUDA leave out the oldest, and say so",
          "[resolve]") {
  std::vector<std::pair<std::string, Archs>> builds;
  for (int i = 10; i < 90; ++i)
    builds.emplace_back("torch2" + std::to_string(i) + "-cxx11-cu" + std::to_string(i) + "0-x86_64-linux",
                        Archs{});
  auto coverage = coverage_of({built_version(1, builds)});
  REQUIRE(coverage.tables.size() == 1);
  CHECK(coverage.tables[0].rows.size() == 64);
  CHECK(coverage.tables[0].columns.size() == 64);
  CHECK(coverage.tables[0].left_out == 32);
  CHECK(coverage.tables[0].rows.back().display() == "2.89");
}

TEST_CASE("coverage: a cell is what decide chooses for a machine of its row and column", "[resolve]") {
  std::mt19937_64 random(test::seed());
  const std::vector<std::string> frameworks = {"torch29-cxx11",      "torch210-cxx11",      "torch210",
                                               "torch-stable-abi29", "torch-stable-abi210", "tvm-ffi01"};
  const std::vector<std::string> tags = {"cpu", "cu126", "cu128", "cu130", "rocm70", "rocm71"};
  for (int round = 0; round < 200; ++round) {
    VersionVariants one{.version = 1, .name = "v1", .variants = {}};
    std::vector<Variant> variants;
    for (auto count = 1 + random() % 12; count > 0; --count) {
      auto name =
          frameworks[random() % frameworks.size()] + "-" + tags[random() % tags.size()] + "-x86_64-linux";
      auto variant = *parse_variant(name);
      if (std::ranges::find(variants, variant) != variants.end()) continue;
      variants.push_back(variant);
      one.variants.push_back({.variant = variant});
    }
    auto coverage = coverage_of({one});
    REQUIRE(coverage.tables.size() == 1);
    const auto& table = coverage.tables[0];
    for (std::size_t row = 0; row < table.rows.size(); ++row)
      for (std::size_t column = 0; column < table.columns.size(); ++column) {
        Target machine;
        machine.torch = table.rows[row].torch;
        machine.tvm_ffi = table.rows[row].tvm_ffi;
        machine.backend = table.columns[column];
        complete_target(machine);
        auto best = decide(variants, machine).front();
        const auto& cell = table.cells[row][column];
        CAPTURE(machine.display());
        CHECK(cell.is_hole() == !best.accepted());
        if (best.accepted()) CHECK(cell.chosen->variant == best.variant);
      }
  }
}
