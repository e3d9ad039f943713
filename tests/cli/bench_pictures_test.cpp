// `kernels bench --visual`, with the real programs that make pixels of its pictures.

#include "support/catch.h"
#include "support/hub_tree.h"
#include "support/world.h"

using namespace kernels::test;

namespace {

namespace fs = std::filesystem;

std::string cpu_kernel() {
  for (const auto& variant : built_variants())
    if (!variant.cuda && variant.kernel == "rmsnorm") return variant.folder;
  return {};
}

Outcome bench(World& world, const std::vector<std::string>& more, RunOptions options = {}) {
  std::vector<std::string> arguments = {"bench",      cpu_kernel(), "--device", "cpu",
                                        "--function", "rms_norm",   "--dtype",  "float32",
                                        "--workload", "decode-1",   "--budget", "0.05"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return world.kernels(arguments, std::move(options));
}

}  // namespace

TEST_CASE("bench: pictures of a run lie where the Python program puts its own", "[cli]") {
  World world;
  auto run = bench(world, {"--visual", "run"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.err, "media/run_{light,dark}_{latency,throughput,animation}.svg"));
  CHECK(World::files_below(world.folder() / "media") ==
        std::vector<std::string>{"run_dark_animation.svg", "run_dark_latency.svg", "run_dark_throughput.svg",
                                 "run_light_animation.svg", "run_light_latency.svg",
                                 "run_light_throughput.svg"});
  const auto latency = world.read("media/run_light_latency.svg");
  CHECK(has(latency, "rms_norm float32 llama-3-8b-decode-1"));
  CHECK(has(latency, "x as fast"));
}

TEST_CASE("bench: pictures as pixels are whole files, and nothing else is left beside them", "[cli]") {
  World world;
  fs::create_directory(world.folder() / "media");
  put(world.folder() / "media/run_light_latency.png", "an older one");
  auto run = bench(world, {"--visual", "run", "--rasterized"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(World::files_below(world.folder() / "media").size() == 12);
  for (const char* name : {"light_latency", "light_throughput", "dark_latency", "dark_throughput"}) {
    const auto png = world.read("media/run_" + std::string(name) + ".png");
    CHECK(png.starts_with("\x89PNG\r\n\x1a\n"));
    CHECK(has(png.substr(png.size() - 12), "IEND"));
  }
  for (const char* name : {"light", "dark"}) {
    const auto gif = world.read("media/run_" + std::string(name) + "_animation.gif");
    CHECK(gif.starts_with("GIF89a"));
    CHECK(has(gif, "NETSCAPE2.0"));  // begins again at its end
    CHECK(gif.back() == ';');
  }
}

TEST_CASE("bench: a missing program for pixels is said before anything is measured", "[cli]") {
  World world;
  fs::create_directory(world.temp / "bin");
  const std::map<std::string, std::string> nothing = {{"PATH", (world.temp / "bin").string()}};
  const auto start = [&] {
    return bench(world, {"--visual", "run", "--rasterized"}, {.environment = nothing});
  };
  auto run = start();
  CHECK(run.status == 5);
  CHECK(has(run.err, "`rsvg-convert` is not installed"));
  CHECK(has(run.err, "librsvg2-bin"));
  CHECK(run.out.empty());
  // One that is there and fails: what it says is passed on, and the picture as SVG stays.
  const auto program = world.temp / "bin/rsvg-convert";
  put(program, "#!/bin/sh\necho 'no memory for pixels' >&2\nexit 3\n");
  fs::permissions(program, fs::perms::owner_all);
  run = start();
  CHECK(run.status == 5);
  CHECK(has(run.err, "ImageMagick"));
  fs::copy_file(program, world.temp / "bin/magick");
  run = start();
  INFO(run.err);
  CHECK(run.status == 5);
  CHECK(has(run.err, "no memory for pixels"));
  CHECK(has(run.err, "ended with status 3"));
  CHECK(World::files_below(world.folder() / "media") == std::vector<std::string>{"run_light_latency.svg"});
}

TEST_CASE("bench: pictures have to have a name, and a place that can be written", "[cli]") {
  World world;
  auto alone = bench(world, {"--rasterized"});
  CHECK(alone.status == 2);
  CHECK(has(alone.err, "--visual"));
  put(world.folder() / "media", "a file");
  auto blocked = bench(world, {"--visual", "run"});
  INFO(blocked.err);
  CHECK(blocked.status == 5);
  CHECK(has(blocked.err, "media"));
}
