// What others can do to the cache: people with access to it, a disk, a clock, another process.

#include <array>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "victim.h"

using namespace kernels::test;
using nlohmann::json;

namespace fs = std::filesystem;

namespace {

const std::string kTarget = "os=linux,cpu=x86_64,tvm-ffi=0.1";

struct Full : Victim {
  Full() {
    REQUIRE(download().status == 0);
    hub->forget_seen();
  }
  Outcome check() { return kernels({"check", "--rehash", "--target", kTarget}); }
  Outcome verify(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"cache", "verify"});
    return kernels(more, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}});
  }
  /// The rules that `cache verify` finds broken.
  std::vector<std::string> rules() {
    auto report = json::parse(verify({"--json"}).out);
    CHECK(report["schema"] == "kernels.cache/1");
    std::vector<std::string> out;
    for (const auto& problem : report["problems"])
      out.push_back(problem["rule"]);
    return out;
  }
  /// Found by `check` and `verify`, mended by `verify --repair` and by `download` alike.
  void check_is_mended(const std::string& rule) {
    CHECK(check().status == 4);
    CHECK(verify().status == 4);
    auto found = rules();
    CAPTURE(found);
    CHECK(std::ranges::find(found, rule) != found.end());
    auto repaired = verify({"--repair"});
    INFO(repaired.out << repaired.err);
    CHECK(repaired.status == 0);
    CHECK(verify().status == 0);
    CHECK(check().status == 0);
    check_cache_is_valid(*this);
  }
};

void plant(const fs::path& place, const std::string& content) {
  fs::remove_all(place);
  put(place, content);
}

RunOptions with_broken(const char* what, const char* how) {
  return {.environment = {{"LD_PRELOAD", KERNELS_TEST_NO_LOCKS},
                          {what, how},
                          {"ASAN_OPTIONS", "verify_asan_link_order=0"}}};
}

/// Runs a command with a small disk of its own in the place of the cache; nothing if this system does not
/// allow it.
std::optional<Outcome> on_disk(Victim& victim, const std::string& options, const std::string& then) {
  fs::create_directories(victim.cache());
  auto script =
      "mount -t tmpfs -o " + options + " none '" + victim.cache().string() + "' || exit 99; " + then;
  auto run = run_program({"unshare", "-Urm", "sh", "-c", script},
                         {.folder = victim.folder(),
                          .environment = {{"HF_ENDPOINT", victim.hub->url()},
                                          {"HF_HUB_CACHE", victim.cache().string()},
                                          {"KERNELS_HTTP_RETRIES", "0"},
                                          {"KERNELS", KERNELS_PROGRAM}}});
  if (run.status == 99 || run.status == 127 || has(run.err, "unshare")) {
    WARN("no file system can be mounted here: " << run.err);
    return std::nullopt;
  }
  return run;
}

}  // namespace

TEST_CASE("attack 65: a planted blob is found, whoever looks", "[attacks]") {
  Full victim;
  auto blob = victim.blob_of("_relu.so");
  auto size = fs::file_size(blob);
  plant(blob, std::string(size, 'E'));
  victim.check_is_mended("blob-bytes");
  plant(blob, std::string(size, 'E'));
  auto run = victim.download();
  CHECK(run.status == 0);
  CHECK(has(run.err, "was not what its name says"));
  check_cache_is_valid(victim);
}

TEST_CASE("attack 65: a blob that was there before its download is not believed", "[attacks]") {
  Victim victim;
  for (const auto& file : {"_relu.so", "__init__.py"}) {
    Full other;
    plant(victim.repository() / "blobs" / other.blob_of(file).filename(),
          content_of(other.blob_of(file)) + "evil");
  }
  CHECK(victim.download().status == 0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 66: a link in the place of a blob is replaced, and what it leads to is left alone",
          "[attacks]") {
  Full victim;
  auto blob = victim.blob_of("_relu.so");
  put(victim.temp / "elsewhere", content_of(blob));  // the right bytes, today
  fs::remove(blob);
  fs::create_symlink(victim.temp / "elsewhere", blob);
  SECTION("by a repair") {
    victim.check_is_mended("blob-kind");
  }
  SECTION("by a download") {
    CHECK(victim.download().status == 0);
    CHECK(victim.check().status == 0);
  }
  CHECK(fs::is_regular_file(fs::symlink_status(blob)));
  CHECK(fs::is_regular_file(victim.temp / "elsewhere"));
}

TEST_CASE("attack 66: a link in the place of a folder leads nothing out of the cache", "[attacks]") {
  auto which =
      GENERATE(as<std::string>{}, "blobs", "snapshots", "refs", "commit", "build", "variant", "layers");
  CAPTURE(which);
  Victim victim;
  auto place = which == "commit"    ? victim.snapshot()
               : which == "build"   ? victim.snapshot() / "build"
               : which == "variant" ? victim.variant()
               : which == "layers"  ? victim.variant() / "layers"
                                    : victim.repository() / which;
  fs::create_directories(place.parent_path());
  fs::create_directories(victim.temp / "home");
  fs::create_directory_symlink(victim.temp / "home", place);
  auto run = victim.download();
  INFO(run.err);
  CHECK(run.status == 4);
  CHECK(has(run.err, "is a link, where the cache has a folder"));
  CHECK(World::files_below(victim.temp / "home").empty());
  auto repaired = victim.kernels({"cache", "verify", "--repair"});
  INFO(repaired.out << repaired.err);
  CHECK(repaired.status == 0);
  CHECK(fs::exists(victim.temp / "home"));
  CHECK(victim.download().status == 0);
}

TEST_CASE("attack 66: a link of a snapshot that leads elsewhere is found and made anew", "[attacks]") {
  Full victim;
  put(victim.temp / "evil.py", "evil = True\n");
  auto entry = victim.variant() / "__init__.py";
  fs::remove(entry);
  fs::create_symlink(victim.temp / "evil.py", entry);
  SECTION("by a repair") {
    victim.check_is_mended("snapshot-link");
  }
  SECTION("by a download") {
    CHECK(victim.download().status == 0);
    CHECK(victim.check().status == 0);
  }
  CHECK(has(fs::read_symlink(entry).string(), "/blobs/"));
  CHECK(content_of(victim.temp / "evil.py") == "evil = True\n");
}

TEST_CASE("attack 67: a second name for a file is neither written to nor gone on with", "[attacks]") {
  Victim victim;
  victim.hub->add({.path_pattern = "\\.so", .lie = lie::cut_after(3000)});
  REQUIRE(victim.download().status == 3);
  victim.hub->clear_faults();
  fs::path left;
  for (const auto& entry : fs::directory_iterator(victim.repository() / "blobs"))
    if (entry.path().string().ends_with(".incomplete") && entry.file_size() > 3000) left = entry.path();
  REQUIRE_FALSE(left.empty());
  fs::create_hard_link(left, victim.temp / "second");
  auto before = content_of(victim.temp / "second");
  CHECK(victim.download().status == 0);
  CHECK(content_of(victim.temp / "second") == before);
  auto blob = victim.blob_of("_relu.so");
  fs::create_hard_link(blob, victim.temp / "third");
  CHECK(has(victim.kernels({"cache", "verify"}).out, "has a second name, by which it can be changed"));
}

TEST_CASE("attack 68: a FIFO or a folder in the place of a file stops nobody", "[attacks]") {
  Full victim;
  auto blob = victim.blob_of("_relu.so");
  auto make = [](const fs::path& place) {
    fs::remove_all(place);
    REQUIRE(::mkfifo(place.c_str(), 0600) == 0);
  };
  make(blob);
  victim.check_is_mended("blob-kind");
  make(blob);
  CHECK(victim.download().status == 0);
  CHECK(victim.check().status == 0);
  make(victim.variant() / "__init__.py");
  victim.check_is_mended("snapshot-kind");
  make(victim.repository() / "refs/v1");
  CHECK(victim.verify().status == 4);
  CHECK(victim.verify({"--repair"}).status == 0);
  CHECK(victim.download().status == 0);
  CHECK(content_of(victim.repository() / "refs/v1") == victim.commit);
}

TEST_CASE("attack 69: what everybody can write to is told", "[attacks]") {
  Full victim;
  CHECK(victim.rules().empty());
  fs::permissions(victim.repository() / "blobs", fs::perms::all);
  fs::permissions(victim.blob_of("_relu.so"), fs::perms::others_write, fs::perm_options::add);
  CHECK(victim.rules() == std::vector<std::string>{"world-writable", "world-writable"});
  CHECK(victim.verify().status == 0);  // nothing is damaged yet
  fs::permissions(victim.cache(), fs::perms::all);
  CHECK(victim.rules().size() == 3);
  fs::permissions(victim.cache(), fs::perms::all | fs::perms::sticky_bit);
  CHECK(victim.rules().size() == 2);
}

TEST_CASE("attack 70: a file of another user is told", "[attacks]") {
  Full victim;
  if (::chown(victim.blob_of("_relu.so").c_str(), 12345, static_cast<gid_t>(-1)) != 0) {
    WARN("only root can give a file away");
    return;
  }
  CHECK(victim.rules() == std::vector<std::string>{"foreign-owner"});
  CHECK(has(victim.verify().out, "12345"));
}

TEST_CASE("attack 71: a bit that flips on the disk, times unchanged, is found by reading everything",
          "[attacks]") {
  Full victim;
  auto blob = victim.blob_of("_relu.so");
  struct stat before{};
  REQUIRE(::stat(blob.c_str(), &before) == 0);
  {
    std::fstream file(blob, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file.put('\x7f');
  }
  const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
  REQUIRE(::utimensat(AT_FDCWD, blob.c_str(), times.data(), 0) == 0);
  victim.check_is_mended("blob-bytes");
}

TEST_CASE("attack 72: a disk that is full leaves the cache as it was", "[attacks]") {
  Victim victim({}, 300'000);
  auto run = on_disk(
      victim, "size=200k",
      "\"$KERNELS\" download; echo status $?; ls -R " + victim.cache().string() + " | grep -c snapshots");
  if (!run) return;
  INFO(run->out << run->err);
  CHECK(has(run->out, "status 5"));
  CHECK(has(run->out, "\n0\n"));
  CHECK(has(run->err, "No space left"));
  // And a file that some other program left cut off is fetched again.
  Full other;
  fs::resize_file(other.blob_of("_relu.so"), 100);
  CHECK(other.download().status == 0);
  check_cache_is_valid(other);
}

TEST_CASE("attack 73: a clock in the past or the future changes no decision", "[attacks]") {
  auto clock = GENERATE("past", "future");
  CAPTURE(clock);
  Full victim;
  auto again = victim.kernels({"download"}, with_broken("KERNELS_TEST_CLOCK", clock));
  INFO(again.err);
  CHECK(again.status == 0);
  CHECK(victim.hub->seen().empty());
  plant(victim.blob_of("_relu.so"), "evil");
  CHECK(victim.kernels({"download"}, with_broken("KERNELS_TEST_CLOCK", clock)).status == 0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 74: records of another version are read anew, not believed", "[attacks]") {
  Full victim;
  auto record = victim.cache() / ".kernels-v1/verified/kernels--acme--relu";
  auto text = content_of(record);
  REQUIRE_FALSE(text.empty());
  plant(victim.blob_of("_relu.so"), std::string(fs::file_size(victim.blob_of("_relu.so")), 'E'));
  put(record, "kernels-verified 99\n" + text);
  CHECK(victim.download().status == 0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 75: what is being downloaded is not pruned", "[attacks]") {
  Victim victim;
  victim.hub->add(
      {.path_pattern = "\\.so", .times = 1, .lie = lie::byte_by_byte(std::chrono::microseconds(50))});
  Outcome prune;
  auto run = victim.kernels({"download"}, {.meanwhile = [&](int) {
                              auto blobs = victim.repository() / "blobs";
                              // The small files are in their places, the library is on its way: no snapshot
                              // names them.
                              for (int i = 0; i < 400; ++i) {
                                std::error_code code;
                                auto count = std::distance(fs::directory_iterator(blobs, code), {});
                                if (!code && count >= 4) break;
                                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                              }
                              prune = victim.kernels({"cache", "prune", "--days", "0", "--json"});
                            }});
  INFO(prune.out << run.err);
  CHECK(prune.status == 0);
  CHECK(json::parse(prune.out)["removed"].empty());
  CHECK(run.status == 0);
  check_cache_is_valid(victim);
  CHECK(victim.kernels({"cache", "verify"}).status == 0);
}

TEST_CASE("cache: prune removes what nobody needs, if it is old enough", "[attacks]") {
  Full victim;
  auto blobs = victim.repository() / "blobs";
  auto orphan = blobs / std::string(64, 'a');
  auto left = blobs / (std::string(64, 'b') + ".01234567.incomplete");
  put(orphan, "nobody's");
  put(left, "half");
  put(victim.repository() / "tmp-01234567/x", "x");
  auto files = World::files_below(victim.cache());
  CHECK(has(victim.kernels({"cache", "prune"}).out, "Removed 0 files"));
  auto dry = victim.kernels({"cache", "prune", "--days", "0", "--dry-run"});
  CHECK(has(dry.out, "Would remove 3 files"));
  CHECK(World::files_below(victim.cache()).size() >= files.size());
  CHECK(fs::exists(orphan));
  // One that another process has locked stays.
  auto lock = victim.cache() / ".locks/kernels--acme--relu" / (std::string(64, 'a') + ".lock");
  put(lock, "");
  int held = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(held, LOCK_EX | LOCK_NB) == 0);
  CHECK(victim.kernels({"cache", "prune", "--days", "0"}).status == 0);
  CHECK(fs::exists(orphan));
  CHECK_FALSE(fs::exists(left));
  CHECK_FALSE(fs::exists(victim.repository() / "tmp-01234567"));
  ::close(held);
  CHECK(has(victim.kernels({"cache", "prune", "--days", "0"}).out, "Removed 1 file,"));
  CHECK_FALSE(fs::exists(orphan));
  CHECK(victim.check().status == 0);
}

TEST_CASE("cache: ls names what is there", "[attacks]") {
  Victim victim;
  CHECK(has(victim.kernels({"cache", "ls"}).out, "No kernels are in the cache"));
  REQUIRE(victim.download().status == 0);
  auto text = victim.kernels({"cache", "ls"});
  CHECK(has(text.out, "acme/relu"));
  CHECK(has(text.out, "v1"));
  auto report = json::parse(victim.kernels({"cache", "ls", "--json"}).out);
  CHECK(report["schema"] == "kernels.cache-list/1");
  CHECK(report["repositories"][0]["variants"] == json{kVariant});
  CHECK(report["repositories"][0]["blobs"] == 4);
}

TEST_CASE("cache: what cannot be fetched again is removed as a whole variant, and said", "[attacks]") {
  Full victim;
  plant(victim.blob_of("_relu.so"), "evil");
  auto run = victim.kernels({"--offline", "cache", "verify", "--repair"});
  INFO(run.out << run.err);
  CHECK(run.status == 0);
  CHECK(has(run.out, "removed the variant"));
  CHECK_FALSE(fs::exists(victim.variant()));
  check_cache_is_valid(victim);
  CHECK(victim.download().status == 0);
  CHECK(victim.verify().status == 0);
  CHECK(victim.verify({"acme/none"}).status == 1);
  // Strangers in the cache go; what is not ours stays.
  put(victim.repository() / "blobs/notes.txt", "mine");
  put(victim.cache() / "models--other--thing/blobs/x", "model");
  CHECK(victim.rules() == std::vector<std::string>{"blob-name"});
  CHECK(victim.verify({"--repair"}).status == 0);
  CHECK(fs::exists(victim.cache() / "models--other--thing/blobs/x"));
}

TEST_CASE("attack 76: where locks are granted to everybody, or not at all, the bytes are right",
          "[attacks]") {
  auto how = GENERATE("granted", "not there");
  CAPTURE(how);
  Victim victim;
  std::vector<Outcome> outcomes(3);
  std::vector<std::thread> threads;
  for (auto& outcome : outcomes)
    threads.emplace_back(
        [&] { outcome = victim.kernels({"download"}, with_broken("KERNELS_TEST_FLOCK", how)); });
  for (auto& thread : threads)
    thread.join();
  for (const auto& outcome : outcomes) {
    INFO(outcome.err);
    CHECK(outcome.status == 0);
  }
  check_cache_is_valid(victim);
  CHECK(victim.kernels({"check", "--target", kTarget}).status == 0);
}

TEST_CASE("attack 77: no lock is ever waited for inside the system", "[attacks]") {
  Victim victim;
  CHECK(victim.kernels({"download"}, with_broken("KERNELS_TEST_FLOCK", "blocks")).status == 0);
  CHECK(
      victim.kernels({"cache", "prune", "--days", "0"}, with_broken("KERNELS_TEST_FLOCK", "blocks")).status ==
      0);
  check_cache_is_valid(victim);
}

TEST_CASE("attack 78: a cache that cannot be written to is read, and nothing in it need be executable",
          "[attacks]") {
  Victim victim;
  auto run = on_disk(victim, "size=8m,noexec,nosuid,nodev",
                     "\"$KERNELS\" download && mount -o remount,ro " + victim.cache().string() +
                         " && \"$KERNELS\" download && \"$KERNELS\" check --target " + kTarget +
                         " && \"$KERNELS\" cache verify && \"$KERNELS\" cache prune && echo all good");
  if (!run) return;
  INFO(run->out << run->err);
  CHECK(has(run->out, "all good"));
  auto empty = on_disk(victim, "size=8m,ro", "\"$KERNELS\" download; echo status $?");
  REQUIRE(empty);
  CHECK(has(empty->out, "status 5"));
  CHECK(has(empty->err, "Read-only file system"));
}

TEST_CASE("attack 79: a quota that is used up ends the download with what to do", "[attacks]") {
  Victim victim;
  auto run = on_disk(victim, "size=8m,nr_inodes=6", "\"$KERNELS\" download; echo status $?");
  if (!run) return;
  INFO(run->out << run->err);
  CHECK(has(run->out, "status 5"));
  CHECK(has(run->err, "No space left"));
}

TEST_CASE("attack 80: snapshots on another device are filled in place", "[attacks]") {
  Victim victim;
  auto snapshots = victim.repository().string() + "/snapshots";
  auto run = on_disk(victim, "size=8m",
                     "mkdir -p " + snapshots + " && mount -t tmpfs none " + snapshots +
                         " && \"$KERNELS\" download && \"$KERNELS\" check --target " + kTarget +
                         " && echo all good");
  if (!run) return;
  INFO(run->out << run->err);
  CHECK(has(run->out, "all good"));
}
