#include <random>

#include <signal.h>

#include "kernels/base/hash.h"
#include "kernels/model/lock.h"

#include "support/catch.h"
#include "support/seed.h"
#include "support/world.h"

using namespace kernels::test;

namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(stream)), {}};
}

/// What must hold at every moment: a published blob has the bytes of its name, a link leads to a blob, a ref
/// to a snapshot.
void check_invariants(const std::filesystem::path& cache) {
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator it(cache, code), end; !code && it != end;
       it.increment(code)) {
    auto name = it->path().filename().string();
    auto folder = it->path().parent_path().filename().string();
    bool unfinished = name.ends_with(".incomplete") || name.ends_with(".tmp");
    if (it->is_symlink() && !unfinished) {
      INFO(it->path().string());
      bool is_building = it->path().string().find("/tmp-") != std::string::npos;
      if (!is_building) CHECK(std::filesystem::exists(it->path()));
    } else if (folder == "blobs" && !unfinished) {
      auto content = content_of(it->path());
      auto hasher = name.size() == 64 ? kernels::Hasher(kernels::HashAlgorithm::sha256)
                                      : kernels::Hasher::git_blob(content.size());
      hasher.update(content);
      CHECK(hasher.finish_hex() == name);
    } else if (folder == "refs" && !unfinished) {
      auto commit = content_of(it->path());
      CHECK(std::filesystem::is_directory(it->path().parent_path().parent_path() / "snapshots" / commit));
    }
  }
}

std::string bytes(std::mt19937_64& random, std::size_t size) {
  std::string out(size, '\0');
  for (auto& c : out)
    c = static_cast<char>(random());
  return out;
}

}  // namespace

TEST_CASE("download: killed at any moment, the cache is valid and the next run succeeds unaided",
          "[faults]") {
  auto seed = kernels::test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  World world;
  std::map<std::string, std::string> files = {{"__init__.py", "x\n"}, {"big.bin", bytes(random, 12 << 20)}};
  for (int i = 0; i < 40; ++i)
    files["data/" + std::to_string(i) + ".bin"] = bytes(random, 1000 + random() % 50'000);
  world.publish({.repo = "acme/relu", .variants = {{"tvm-ffi01-cpu-x86_64-linux", files}}});
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  // A moment inside of a run: how long one takes depends on the machine.
  auto begin = std::chrono::steady_clock::now();
  REQUIRE(world.kernels({"download"}).status == 0);
  auto whole =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  std::filesystem::remove_all(world.cache());
  int killed = 0;
  for (int round = 0; round < 200 && killed < 25; ++round) {
    auto moment = 1 + random() % static_cast<std::uint64_t>(std::max<std::int64_t>(whole.count(), 2));
    auto run =
        world.kernels({"download"}, {.signal_after = std::chrono::milliseconds(moment), .signal = SIGKILL});
    bool was_killed = run.status == 128 + SIGKILL;
    killed += was_killed ? 1 : 0;
    check_invariants(world.cache());
    // Some kills come one after the other, into what the one before left.
    if (!was_killed || random() % 4 == 0) std::filesystem::remove_all(world.cache());
  }
  CHECK(killed == 25);
  auto last = world.kernels({"download"});
  INFO(last.err);
  CHECK(last.status == 0);
  CHECK(world.kernels({"check", "--rehash"}).status == 0);
  check_invariants(world.cache());
}

TEST_CASE("lock: killed at any moment, the files are the old or the new ones, or a pair that is seen as torn",
          "[faults]") {
  auto seed = kernels::test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  World world;
  world.publish_simple("relu", 1, "one");
  world.publish_simple("relu", 2, "two");
  std::map<std::string, std::string> texts;
  for (const char* version : {"1", "2"}) {
    world.project(std::string("[dependencies]\n\"acme/relu\" = ") + version + "\n");
    REQUIRE(world.kernels({"lock"}).status == 0);
    texts[world.read("kernels.lock")] = world.read("kernels.sum");
  }
  for (int round = 0; round < 40; ++round) {
    world.project(std::string("[dependencies]\n\"acme/relu\" = ") + (round % 2 == 0 ? "1" : "2") + "\n");
    world.kernels({"lock"},
                  {.signal_after = std::chrono::milliseconds(1 + random() % 20), .signal = SIGKILL});
    auto lock = world.read("kernels.lock");
    auto sum = world.read("kernels.sum");
    REQUIRE(texts.contains(lock));
    if (texts[lock] != sum) CHECK(world.kernels({"check"}).status == 4);
  }
  CHECK(world.kernels({"lock"}).status == 0);
}

TEST_CASE("bundle: killed at any moment, packing leaves the whole file or none, importing a valid cache",
          "[faults]") {
  auto seed = kernels::test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  World world;
  std::map<std::string, std::string> files = {{"__init__.py", "x\n"}, {"big.bin", bytes(random, 8 << 20)}};
  for (int i = 0; i < 40; ++i)
    files["data/" + std::to_string(i) + ".bin"] = bytes(random, 1000 + random() % 50'000);
  world.publish({.repo = "acme/relu", .variants = {{"tvm-ffi01-cpu-x86_64-linux", files}}});
  world.project("[dependencies]\n\"acme/relu\" = 1\n");
  REQUIRE(world.kernels({"lock"}).status == 0);
  std::vector<std::string> pack = {"download", "--bundle", "k.tar.zst"};
  REQUIRE(world.kernels(pack).status == 0);
  auto whole = world.read("k.tar.zst");
  auto killed_at = [&](std::vector<std::string> command, std::map<std::string, std::string> environment) {
    auto run =
        world.kernels(std::move(command), {.environment = std::move(environment),
                                           .signal_after = std::chrono::milliseconds(1 + random() % 60),
                                           .signal = SIGKILL});
    return run.status == 128 + SIGKILL;
  };
  int killed = 0;
  for (int round = 0; round < 100 && killed < 12; ++round) {
    std::filesystem::remove(world.folder() / "k.tar.zst");
    killed += killed_at(pack, {}) ? 1 : 0;
    if (std::filesystem::exists(world.folder() / "k.tar.zst")) CHECK(world.read("k.tar.zst") == whole);
  }
  CHECK(killed == 12);
  put(world.folder() / "k.tar.zst", whole);
  auto other = world.temp / "other";
  std::map<std::string, std::string> elsewhere = {{"HF_HUB_CACHE", other.string()}};
  killed = 0;
  for (int round = 0; round < 100 && killed < 12; ++round) {
    bool was_killed = killed_at({"import", "k.tar.zst"}, elsewhere);
    killed += was_killed ? 1 : 0;
    check_invariants(other);
    if (!was_killed || random() % 4 == 0) std::filesystem::remove_all(other);
  }
  CHECK(killed == 12);
  auto last = world.kernels({"import", "k.tar.zst"}, {.environment = elsewhere});
  INFO(last.err);
  CHECK(last.status == 0);
  check_invariants(other);
  CHECK(world.kernels({"check", "--rehash", "--offline"}, {.environment = elsewhere}).status == 0);
}
