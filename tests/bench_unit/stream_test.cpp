#include "stream.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::bench;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// All kinds of traffic that the shapes tell apart.
const std::vector<Traffic>& traffics() {
  static const std::vector<Traffic> all = {
      {.read = 64 * kMiB, .written = 64 * kMiB},
      {.read = 64 * kMiB, .written = 64 * kMiB, .in_place = 64 * kMiB},
      {.read = 128 * kMiB, .written = 64 * kMiB},
      {.read = 128 * kMiB, .written = 128 * kMiB, .in_place = 128 * kMiB},
      {.read = 64 * kMiB},
      {.read = 0, .written = 64 * kMiB},
      {.read = 96 * kMiB, .written = 64 * kMiB},
      {.read = 64 * kMiB, .written = 256 * kMiB},
      {.read = 128 * kMiB, .written = 32 * kMiB},
      {.read = 1, .written = 1}};
  return all;
}

}  // namespace

TEST_CASE("stream: the shape has the shares of the traffic", "[bench]") {
  struct Row {
    Traffic traffic;
    StreamShape shape;
  };
  const std::vector<Row> rows = {
      {{.read = 100, .written = 100}, {.reads = 1, .writes = 1}},
      {{.read = 100, .written = 100, .in_place = 100}, {.reads = 1, .writes = 1, .in_place = true}},
      {{.read = 1010, .written = 1000, .in_place = 1000}, {.reads = 1, .writes = 1, .in_place = true}},
      {{.read = 200, .written = 100}, {.reads = 2, .writes = 1}},
      {{.read = 200, .written = 200, .in_place = 200}, {.reads = 1, .writes = 1, .in_place = true}},
      {{.read = 300, .written = 200}, {.reads = 3, .writes = 2}},
      {{.read = 100}, {.reads = 1, .writes = 0}},
      {{.read = 0, .written = 100}, {.reads = 0, .writes = 1}},
      {{.read = 1000, .written = 1}, {.reads = 4, .writes = 1}}};
  for (const auto& row : rows) {
    INFO(row.traffic.read << " read, " << row.traffic.written << " written");
    CHECK(shapes_for(row.traffic).front() == row.shape);
  }
}

TEST_CASE("stream: what is written narrower than it is read is tried in its own width", "[bench]") {
  // bfloat16 to float8 and float32 to float8: a thread has 16 bytes and writes 8, or 4.
  const auto half = shapes_for({.read = 200, .written = 100});
  REQUIRE(half.size() == 2);
  CHECK(half[1] == StreamShape{.reads = 1, .writes = 1, .in_place = false, .written_vector = 8});
  const auto quarter = shapes_for({.read = 400, .written = 100});
  REQUIRE(quarter.size() == 2);
  CHECK(quarter[1] == StreamShape{.reads = 1, .writes = 1, .in_place = false, .written_vector = 4});
  const StreamPlan plan{.shape = quarter[1], .vectors_per_thread = 1, .threads = 256, .vectors = 16};
  CHECK(stream_ptx(plan).find("st.global.b32 [%d4]") != std::string::npos);
  CHECK(footprint(plan) == 512);  // 16 vectors of 16 + 4 bytes, rounded
}

TEST_CASE("stream: a plan moves the bytes of the traffic, to a few vectors", "[bench]") {
  for (const auto& traffic : traffics())
    for (const auto& plan : plans_for(traffic)) {
      INFO(traffic.read << " read, " << traffic.written << " written: " << plan.describe());
      const auto moved =
          plan.vectors * (plan.shape.reads * 16 + plan.shape.writes * plan.shape.written_vector);
      const double error = std::abs(static_cast<double>(moved) - static_cast<double>(traffic.bytes()));
      CHECK(error <= 1000);
      CHECK(plan.vectors % 4 == 0);
      CHECK(footprint(plan) % 256 == 0);
    }
}

TEST_CASE("stream: the assembler takes every kernel", "[bench]") {
  if (std::system("command -v ptxas > /dev/null 2>&1") != 0) {
    WARN("no ptxas here: the kernels are compiled on the device machine only");
    return;
  }
  const test::TempFolder folder;
  std::set<std::string> codes = {empty_ptx()};
  for (const auto& traffic : traffics())
    for (const auto& plan : plans_for(traffic))
      codes.insert(stream_ptx(plan));
  for (const auto& code : codes) {
    test::put(folder / "stream.ptx", code);
    const auto command = "ptxas -arch=sm_90 -o /dev/null '" + (folder / "stream.ptx").string() + "' 2>&1";
    INFO(code);
    CHECK(std::system(command.c_str()) == 0);
  }
}

TEST_CASE("stream: every plan can be launched with its number of threads", "[bench]") {
  // A driver that does not know the number gives each thread up to 255 registers; 1,024 threads have 64 each.
  for (const auto& plan : plans_for({.read = 1 << 20, .written = 1 << 20, .in_place = 1 << 20})) {
    CAPTURE(plan.describe());
    CHECK(stream_ptx(plan).find(".maxntid " + std::to_string(plan.threads) + ", 1, 1\n{") !=
          std::string::npos);
  }
}
