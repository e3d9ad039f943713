#include <random>

#include "kernels/ops/download.h"
#include "kernels/ops/project_files.h"

#include "support/catch.h"
#include "support/seed.h"
#include "support/world.h"

using namespace kernels;
using namespace kernels::test;

namespace {

constexpr std::size_t kSize = (40 << 20) + 12'345;

/// A large locked file, and a download of it that takes the server for a distant one.
struct Distant {
  Distant() {
    std::mt19937_64 random(test::seed());
    std::string content(kSize, '\0');
    for (auto& c : content)
      c = static_cast<char>(random());
    world.publish(
        {.repo = "acme/relu", .variants = {{"tvm-ffi01-cpu-x86_64-linux", {{"big.bin", content}}}}});
    world.project("[dependencies]\n\"acme/relu\" = 1\n");
    REQUIRE(world.kernels({"lock"}).status == 0);
    world.hub->forget_seen();
  }

  Result<ops::DownloadReport> run() {
    auto files = ops::load_lock_files(world.folder());
    REQUIRE(files);
    hub::Settings settings;
    settings.endpoint = world.hub->url();
    settings.max_retries = 2;
    auto choices = ops::choose_variants(*(*files)->sum,
                                        {.kind = ops::VariantChoice::Kind::all, .targets = {}, .names = {}});
    cache::Layout layout(world.cache());
    auto plan = ops::plan_download(layout, choices);
    ops::DownloadOptions options{
        .settings = settings, .user_agent = "test", .near = std::chrono::microseconds(0)};
    return ops::download(layout, plan, options, [](const Event&) {}, {});
  }

  World world;
};

}  // namespace

TEST_CASE("download: from far away a large file comes in ranges that cover it once", "[cli]") {
  Distant distant;
  auto report = distant.run();
  REQUIRE(report);
  CHECK(report->bytes_fetched > kSize);
  std::uint64_t bytes = 0;
  std::set<int> connections;
  for (const auto& request : distant.world.hub->seen()) {
    if (request.target.find("big.bin") == std::string::npos) continue;
    CHECK(request.status == 206);
    CHECK_FALSE(request.header("range").empty());
    bytes += request.body_bytes;
    connections.insert(request.connection);
  }
  CHECK(bytes == kSize);
  CHECK(connections.size() > 2);
  CHECK(distant.world.kernels({"check", "--rehash"}).status == 0);
}

TEST_CASE("download: a range that breaks, is refused or comes wrong cannot harm the file", "[cli]") {
  Distant distant;
  struct Row {
    const char* name;
    Lie lie;
    bool good;
  };
  auto row = GENERATE(Row{"cut", lie::cut_after(1 << 20), true}, Row{"503", lie::status(503), true},
                      Row{"another range", lie::wrong_content_range("bytes 0-99/1000"), true},
                      Row{"shorter than announced", lie::truncated_to(1000), true},
                      Row{"one byte wrong", lie::flipped_at(5), false});
  CAPTURE(row.name);
  distant.world.hub->add(
      {.path_pattern = "big.bin", .first = 3, .times = row.good ? 1 : Fault::kAlways, .lie = row.lie});
  auto report = distant.run();
  CHECK(report.has_value() == row.good);
  if (!row.good) CHECK(report.error().code() == Errc::integrity);
  distant.world.hub->clear_faults();
  CHECK(distant.run());
  CHECK(distant.world.kernels({"check", "--rehash"}).status == 0);
}
