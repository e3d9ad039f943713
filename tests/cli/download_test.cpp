#include <optional>
#include <random>
#include <thread>

#include <nlohmann/json.hpp>
#include <signal.h>

#include "kernels/base/hash.h"

#include "support/catch.h"
#include "support/world.h"

using namespace kernels::test;
using nlohmann::json;

namespace {

const char* const kReluAlone = "[dependencies]\n\"acme/relu\" = 1\n";

/// Bytes that repeat nowhere, so that a piece in the wrong place shows.
std::string noise(std::size_t size) {
  std::mt19937_64 random(42);
  std::string out(size, '\0');
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    auto value = random();
    out.replace(i, 8, reinterpret_cast<const char*>(&value), 8);
  }
  return out;
}

void publish_large(World& world, const std::string& content) {
  world.publish(
      {.repo = "acme/relu",
       .variants = {{"tvm-ffi01-cpu-x86_64-linux", {{"__init__.py", "x\n"}, {"big.so", content}}}}});
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  world.hub->forget_seen();
}

/// Everything in the cache is a blob with the bytes of its name, or a link to one; nothing else.
void check_cache_is_valid(const World& world) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world.cache())) {
    auto name = entry.path().filename().string();
    if (entry.is_symlink()) CHECK(std::filesystem::exists(entry.path()));
    bool is_blob = entry.is_regular_file() && !entry.is_symlink() &&
                   entry.path().parent_path().filename() == "blobs" && !name.ends_with(".incomplete");
    if (!is_blob) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    std::string content((std::istreambuf_iterator<char>(stream)), {});
    auto hasher = name.size() == 64 ? kernels::Hasher(kernels::HashAlgorithm::sha256)
                                    : kernels::Hasher::git_blob(content.size());
    hasher.update(content);
    CHECK(hasher.finish_hex() == name);
  }
}

std::uint64_t body_bytes(const World& world, const std::string& part) {
  std::uint64_t sum = 0;
  for (const auto& request : world.hub->seen())
    if (has(request.target, part)) sum += request.body_bytes;
  return sum;
}

}  // namespace

TEST_CASE("download: one GET for each file, no HEAD, no listing; then nothing at all", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.publish_simple("norm");
  world.project("[dependencies]\n\"acme/relu\" = 1\n\"acme/norm\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  world.hub->forget_seen();
  auto run = world.kernels({"download"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(world.hub->seen().size() == 8);
  CHECK(world.hub->count("GET", "/resolve/") == 8);
  check_cache_is_valid(world);
  world.hub->forget_seen();
  auto again = world.kernels({"download"});
  CHECK(again.status == 0);
  CHECK(has(again.out, "Everything is in the cache"));
  CHECK(world.hub->seen().empty());
}

TEST_CASE("download: the variants that were asked for, for targets, by name, or all", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(std::string(kReluAlone) +
                "[targets.gpu]\nos = \"linux\"\ncuda = \"13.0\"\ntvm-ffi = \"0.1\"\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto variants = [&] {
    std::set<std::string> out;
    for (const auto& file : World::files_below(world.cache()))
      if (auto at = file.find("/build/"); at != std::string::npos)
        out.insert(file.substr(at + 7, file.find('/', at + 7) - at - 7));
    return out;
  };
  REQUIRE(world.kernels({"download", "--target", "gpu"}).status == 0);
  CHECK(variants() == std::set<std::string>{"tvm-ffi01-cu130-x86_64-linux"});
  auto dry = world.kernels({"download", "--variant", "tvm-ffi01-cpu-x86_64-linux", "--dry-run", "--json"});
  CHECK(json::parse(dry.out)["schema"] == "kernels.download-plan/1");
  CHECK(variants().size() == 1);
  REQUIRE(world.kernels({"download", "--all-variants"}).status == 0);
  CHECK(variants().size() == 2);
}

TEST_CASE("download: refs, links and blobs are as the Python packages read them", "[cli]") {
  World world;
  auto commit = world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download"}).status == 0);
  auto repository = world.cache() / "kernels--acme--relu";
  std::ifstream ref(repository / "refs/v1");
  std::string content((std::istreambuf_iterator<char>(ref)), {});
  CHECK(content == commit);
  auto link = repository / "snapshots" / commit / "build/tvm-ffi01-cpu-x86_64-linux/layers/__init__.py";
  CHECK(has(std::filesystem::read_symlink(link).string(), "../../../../../blobs/"));
  CHECK_FALSE(std::filesystem::exists(repository / "trees"));
}

TEST_CASE("download: wrong bytes are refused with status 4 and nothing of them is kept", "[cli]") {
  World world;
  world.publish_simple("relu", 1, std::string(5000, 'x'));
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  struct Row {
    const char* name;
    Lie lie;
  };
  auto row =
      GENERATE(Row{"same size, one byte wrong", lie::flipped_at(100)},
               Row{"another length announced", lie::shortened_to(50)}, Row{"endless", lie::endless_chunks()});
  CAPTURE(row.name);
  world.hub->add({.path_pattern = "\\.so", .lie = row.lie});
  auto run = world.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "_relu.so"));
  check_cache_is_valid(world);
  for (const auto& file : World::files_below(world.cache())) {
    CHECK_FALSE(has(file, "snapshots/"));
    CHECK_FALSE(has(file, "refs/"));
  }
  world.hub->clear_faults();
  CHECK(world.kernels({"download"}).status == 0);
  check_cache_is_valid(world);
}

TEST_CASE("download: bytes beyond the announced length never get into a file", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  world.hub->add({.path_pattern = "\\.so", .lie = lie::longer_by(1000)});
  CHECK(world.kernels({"download"}).status == 0);
  check_cache_is_valid(world);
}

TEST_CASE("download: broken transfers are gone on with", "[cli]") {
  World world;
  auto content = noise(300'000);
  publish_large(world, content);
  struct Row {
    const char* name;
    Lie lie;
  };
  auto row =
      GENERATE(Row{"cut", lie::cut_after(200'000)}, Row{"ended early", lie::truncated_to(200'000)},
               Row{"503 at first", lie::status(503)}, Row{"429 with Retry-After", lie::rate_limited(0)});
  CAPTURE(row.name);
  world.hub->add({.path_pattern = "big.so", .times = 1, .lie = row.lie});
  auto run = world.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 0);
  check_cache_is_valid(world);
  CHECK(body_bytes(world, "big.so") <= content.size() + 150'000);
}

TEST_CASE("download: a server that ignores ranges or answers with another one cannot harm the file",
          "[cli]") {
  World world;
  publish_large(world, noise(300'000));
  world.hub->add({.path_pattern = "big.so", .times = 1, .lie = lie::cut_after(200'000)});
  bool ignores = GENERATE(true, false);
  CAPTURE(ignores);
  world.hub->add({.path_pattern = "big.so",
                  .times = 1,
                  .lie = ignores ? lie::range_ignored() : lie::wrong_content_range("bytes 0-99/300000")});
  auto run = world.kernels({"download"}, {.environment = {{"KERNELS_HTTP_RETRIES", "3"}}});
  INFO(run.err);
  CHECK(run.status == 0);
  check_cache_is_valid(world);
}

TEST_CASE("download: compressed answers, stalls and a Hub that is down are network errors with a way out",
          "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  struct Row {
    const char* text;
    Lie lie;
  };
  auto row = GENERATE(Row{"encoded as `gzip`", lie::gzip_encoded()}, Row{"in time", lie::stalled()},
                      Row{"503", lie::status(503)});
  CAPTURE(row.text);
  world.hub->add({.path_pattern = "__init__.py", .lie = row.lie});
  auto run = world.kernels(
      {"download"}, {.environment = {{"HF_HUB_DOWNLOAD_TIMEOUT", "1"}, {"KERNELS_HTTP_RETRIES", "0"}}});
  INFO(run.err);
  CHECK(run.status == 3);
  CHECK(has(run.err, row.text));
  CHECK(has(run.err, "downloading `build/tvm-ffi01-cpu-x86_64-linux/"));
}

TEST_CASE("download: nobody answers", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto run = world.kernels(
      {"download"}, {.environment = {{"HF_ENDPOINT", "http://127.0.0.1:1"}, {"KERNELS_HTTP_RETRIES", "0"}}});
  CHECK(run.status == 3);
  CHECK(has(run.err, "127.0.0.1:1"));
  CHECK(has(run.err, "hint: check the network"));
}

TEST_CASE("download: a token goes to the Hub and to no other address", "[cli]") {
  World world({.token = kernels::Secret("hf_canary"), .large_files = kernels::hub::Delivery::redirect});
  world.publish_simple("relu", 1, std::string(2000, 'x'));
  world.project(kReluAlone);
  RunOptions with_token{.environment = {{"HF_TOKEN", "hf_canary"}}};
  REQUIRE(world.kernels({"lock"}, with_token).status == 0);
  auto run = world.kernels({"-vv", "download"}, with_token);
  INFO(run.err);
  // The server's second port refuses a request that carries a token.
  CHECK(run.status == 0);
  CHECK_FALSE(has(run.err + run.out, "hf_canary"));
  auto without = world.kernels({"lock", "--upgrade"});
  CHECK(without.status == 3);
  CHECK(has(without.err, "HF_TOKEN"));
}

TEST_CASE("download: a killed download goes on and re-fetches at most 8 MiB of a file", "[cli][slow]") {
  World world;
  auto content = noise(80 << 20);
  publish_large(world, content);
  // Half of it comes, then silence, then the process is killed: what was written is the worst that a kill
  // leaves.
  world.hub->add({.path_pattern = "big.so", .first = 2, .lie = lie::stalled_after(40 << 20)});
  auto killed = world.kernels({"download"}, {.signal_after = std::chrono::seconds(3), .signal = SIGKILL});
  REQUIRE(killed.status == 128 + SIGKILL);
  auto before = body_bytes(world, "big.so");
  REQUIRE(before > (36U << 20U));
  world.hub->clear_faults();
  world.hub->forget_seen();
  auto run = world.kernels({"download", "--json"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  check_cache_is_valid(world);
  auto again = body_bytes(world, "big.so");
  CHECK(before + again <= content.size() + (8U << 20U));
  CHECK(json::parse(run.out)["bytes_resumed"] > (28 << 20));
}

TEST_CASE("download: Ctrl-C ends it with status 130, and the next run goes on", "[cli]") {
  World world;
  publish_large(world, noise(1 << 20));
  world.hub->add({.path_pattern = "big.so", .lie = lie::stalled_after(500'000)});
  auto run = world.kernels({"download"}, {.signal_after = std::chrono::milliseconds(700), .signal = SIGINT});
  CHECK(run.status == 130);
  CHECK(has(run.err, "interrupted"));
  world.hub->clear_faults();
  CHECK(world.kernels({"download"}).status == 0);
  check_cache_is_valid(world);
}

TEST_CASE("download: several processes at once leave one valid cache", "[cli]") {
  World world;
  publish_large(world, noise(9 << 20));
  std::vector<Outcome> outcomes(4);
  std::vector<std::thread> threads;
  for (auto& outcome : outcomes)
    threads.emplace_back([&world, &outcome] { outcome = world.kernels({"download"}); });
  for (auto& thread : threads)
    thread.join();
  for (const auto& outcome : outcomes) {
    INFO(outcome.err);
    CHECK(outcome.status == 0);
  }
  check_cache_is_valid(world);
  CHECK(body_bytes(world, "big.so") < (20U << 20U));
}

TEST_CASE("download: a planted or rotten blob is found and fetched again", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download"}).status == 0);
  auto blobs = world.cache() / "kernels--acme--relu/blobs";
  for (const auto& blob : std::filesystem::directory_iterator(blobs)) {
    auto size = std::filesystem::file_size(blob);
    std::ofstream(blob.path(), std::ios::binary) << std::string(size, 'E');
  }
  auto run = world.kernels({"download"});
  CHECK(run.status == 0);
  CHECK(has(run.err, "was not what its name says"));
  check_cache_is_valid(world);
}

TEST_CASE("download: no variant for the machine, a missing lock, a foreign sum, offline: told and left alone",
          "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  auto unlocked = world.kernels({"download"});
  CHECK(unlocked.status == 2);
  CHECK(has(unlocked.err, "hint: run `kernels lock"));
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto foreign = world.kernels({"download", "--target", "os=linux,cpu=aarch64"});
  CHECK(foreign.status == 1);
  CHECK(has(foreign.err, "tvm-ffi01-cpu-x86_64-linux: built for the CPU x86_64, but the target has aarch64"));
  auto unknown = world.kernels({"download", "--variant", "torch-cpu"});
  CHECK(unknown.status == 1);
  CHECK(has(unknown.err, "has no variant `torch-cpu`"));
  auto offline = world.kernels({"download", "--offline"});
  CHECK(offline.status == 3);
  CHECK(has(offline.err, "of `acme/relu`"));
  put(world.folder() / "kernels.lock", world.read("kernels.lock") + "\n");
  auto torn = world.kernels({"download"});
  CHECK(torn.status == 4);
  CHECK(has(torn.err, "belongs to another `kernels.lock`"));
  put(world.folder() / "kernels.lock", "[{\"dependency\": 1, \"dependency\": 2}]");
  auto twice = world.kernels({"download"});
  CHECK(twice.status == 2);
  CHECK(has(twice.err, "given twice"));
  CHECK(World::files_below(world.cache()).empty());
}

TEST_CASE("download: a cache that cannot be written is told with its path and status 5", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  put(world.temp / "file", "not a folder");
  auto run = world.kernels({"--cache", (world.temp / "file/cache").string(), "download"});
  CHECK(run.status == 5);
  CHECK(has(run.err, "file/cache"));
}

namespace {

/// Runs a script in which $CACHE is a small file system of its own and $KERNELS the program. Nothing where
/// this machine does not allow a mount.
std::optional<Outcome> in_own_file_system(const World& world, const std::string& size,
                                          const std::string& script) {
  auto probe = run_program({"unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"});
  if (probe.status != 0) {
    WARN("skipped: a small file system of our own cannot be mounted here");
    return std::nullopt;
  }
  std::filesystem::create_directories(world.cache());
  std::map<std::string, std::string> environment = {{"HF_ENDPOINT", world.hub->url()},
                                                    {"HF_HUB_CACHE", world.cache().string()},
                                                    {"CACHE", world.cache().string()},
                                                    {"KERNELS", KERNELS_PROGRAM}};
  return run_program(
      {"unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=" + size + " none $CACHE && " + script},
      {.folder = world.folder(), .environment = environment});
}

}  // namespace

TEST_CASE("download: a full disk is told, and nothing gets its final name", "[cli]") {
  World world;
  publish_large(world, noise(4 << 20));
  auto run = in_own_file_system(world, "2m",
                                "$KERNELS download; status=$?; ls $CACHE/kernels--acme--relu; exit $status");
  if (!run) return;
  INFO(run->err);
  CHECK(run->status == 5);
  CHECK(has(run->err, "No space left"));
  CHECK(has(run->err, "hint: free some space"));
  CHECK_FALSE(has(run->out, "snapshots"));
}

TEST_CASE("download: a read-only cache is told; with everything in it nothing needs to be written", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto empty = in_own_file_system(world, "2m", "mount -o remount,ro $CACHE && exec $KERNELS download");
  if (!empty) return;
  CHECK(empty->status == 5);
  CHECK(has(empty->err, "Read-only file system"));
  auto full = in_own_file_system(world, "2m",
                                 "$KERNELS download && mount -o remount,ro $CACHE && $KERNELS download && "
                                 "exec $KERNELS --offline check");
  INFO(full->err);
  CHECK(full->status == 0);
  CHECK(has(full->out, "Everything is in the cache"));
  CHECK(has(full->out, "1 of 1 kernel would run"));
}

TEST_CASE("download: a lock of the Python package alone still downloads, from the listings", "[cli]") {
  World world;
  world.publish({.repo = "acme/relu", .variants = {{"torch-cpu", {{"__init__.py", "x\n"}}}}});
  world.project(kReluAlone);
  auto* form = GENERATE("v1", "v2");
  REQUIRE(world.kernels({"lock", "--lock-format", form}).status == 0);
  std::filesystem::remove(world.folder() / "kernels.sum");
  auto run = world.kernels({"download"});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(has(run.err, "there is no `kernels.sum`"));
  check_cache_is_valid(world);
  if (std::string(form) == "v2") return;
  auto lock = world.read("kernels.lock");
  auto at = lock.find("sha256-") + 7;
  lock[at] = lock[at] == '0' ? '1' : '0';
  put(world.folder() / "kernels.lock", lock);
  auto tampered = world.kernels({"download"});
  CHECK(tampered.status == 4);
  CHECK(has(tampered.err, "is locked as sha256-"));
}

TEST_CASE("download: what a killed process was building is swept up when it is old", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto repository = world.cache() / "kernels--acme--relu";
  put(repository / "tmp-0a1b2c3d/x", "x");
  put(repository / "tmp-11111111/x", "x");
  std::filesystem::last_write_time(repository / "tmp-0a1b2c3d",
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  REQUIRE(world.kernels({"download"}).status == 0);
  CHECK_FALSE(std::filesystem::exists(repository / "tmp-0a1b2c3d"));
  CHECK(std::filesystem::exists(repository / "tmp-11111111"));
}

TEST_CASE("download: plain files instead of links where links are switched off", "[cli]") {
  World world;
  auto commit = world.publish_simple("relu");
  world.project(kReluAlone);
  REQUIRE(world.kernels({"lock"}).status == 0);
  REQUIRE(world.kernels({"download"}, {.environment = {{"HF_HUB_DISABLE_SYMLINKS", "1"}}}).status == 0);
  auto file = world.cache() / "kernels--acme--relu/snapshots" / commit /
              "build/tvm-ffi01-cpu-x86_64-linux/__init__.py";
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(file)));
  CHECK(world.kernels({"check"}).status == 0);
}

TEST_CASE("download: where no variant fits, the error says what would make one fit", "[cli]") {
  World world;
  world.publish_simple("relu");
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  auto run = world.kernels({"download", "--target", "os=linux,cuda=13.0"});
  CHECK(run.status == 1);
  CHECK(has(run.err, "no variant of `acme/relu` fits os=linux,cuda=13.0"));
  CHECK(has(run.err, "To make one fit:"));
  CHECK(has(run.err, "install apache-tvm-ffi 0.1"));
  CHECK(World::files_below(world.cache()).empty());
}
