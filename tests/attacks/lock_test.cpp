// What can happen to the lock files of a project.

#include <thread>

#include "victim.h"

using namespace kernels::test;

namespace {

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

/// Nobody was asked for anything, and nothing was written.
void check_stopped(Victim& victim, int status, const std::string& said) {
  victim.hub->forget_seen();
  for (const char* command : {"download", "check"}) {
    CAPTURE(command);
    auto run = victim.kernels({command});
    INFO(run.err);
    CHECK(run.status == status);
    CHECK(has(run.err, said));
  }
  CHECK(victim.hub->seen().empty());
  CHECK(World::files_below(victim.cache()).empty());
}

std::string first_hash(const std::string& sum, const std::string& key, std::size_t from = 0) {
  auto at = sum.find("\"" + key + "\":\"", from);
  REQUIRE(at != std::string::npos);
  return sum.substr(at + key.size() + 4, key == "sha256" ? 64 : 40);
}

}  // namespace

TEST_CASE("attack 46: a lock that was put back to an older commit does not fit its sum", "[attacks]") {
  Victim victim;
  auto old = victim.read("kernels.lock");
  victim.publish_simple("relu", 1, "newer");
  REQUIRE(victim.kernels({"lock", "--upgrade"}).status == 0);
  put(victim.folder() / "kernels.lock", old);
  check_stopped(victim, 4, "belongs to another `kernels.lock`");
}

TEST_CASE("attack 47: the sum of one lock beside another, or made to look like its own, is refused",
          "[attacks]") {
  Victim victim;
  auto lock = victim.read("kernels.lock");
  auto sum = victim.read("kernels.sum");
  victim.publish_simple("relu", 1, "newer");
  REQUIRE(victim.kernels({"lock", "--upgrade"}).status == 0);
  auto newer = victim.read("kernels.sum");
  put(victim.folder() / "kernels.lock", lock);
  check_stopped(victim, 4, "belongs to another `kernels.lock`");
  // The digest of the lock is corrected, the content is not: people who review the lock see another commit.
  auto digest = [](const std::string& text) {
    auto at = text.find("\"lock_sha256\"");
    at = text.find('"', text.find(':', at)) + 1;
    return text.substr(at, 64);
  };
  put(victim.folder() / "kernels.sum", replaced(newer, digest(newer), digest(sum)));
  check_stopped(victim, 4, "names other kernels, commits or bytes than its `kernels.lock`");
}

TEST_CASE("attack 48: swapped hashes fit no bytes", "[attacks]") {
  Victim victim;
  auto sum = victim.read("kernels.sum");
  auto one = first_hash(sum, "git_sha1");
  auto at = sum.find(one);
  auto two = first_hash(sum, "git_sha1", at + 40);
  REQUIRE(one != two);
  sum = replaced(replaced(replaced(sum, one, std::string(40, '#')), two, one), std::string(40, '#'), two);
  put(victim.folder() / "kernels.sum", sum);
  auto run = victim.kernels({"download", "--all-variants"}, {.environment = {{"KERNELS_HTTP_RETRIES", "0"}}});
  INFO(run.err);
  CHECK(run.status == 4);
  check_nothing_was_kept(victim, Partial::allowed);
}

TEST_CASE("attack 49: a file without a hash is no entry", "[attacks]") {
  Victim victim;
  auto sum = victim.read("kernels.sum");
  put(victim.folder() / "kernels.sum",
      replaced(sum, ",\"git_sha1\":\"" + first_hash(sum, "git_sha1") + "\"", ""));
  check_stopped(victim, 2, "`git_sha1` should be a string, but is missing");
}

TEST_CASE("attack 50: an algorithm that is not known is refused", "[attacks]") {
  Victim victim;
  auto sum = victim.read("kernels.sum");
  SECTION("of a file") {
    put(victim.folder() / "kernels.sum", replaced(sum, "\"git_sha1\":", "\"md5\":"));
    check_stopped(victim, 2, "`git_sha1` should be a string, but is missing");
  }
  SECTION("of the whole file") {
    put(victim.folder() / "kernels.sum", replaced(sum, "kernels.sum/1", "kernels.sum/2"));
    check_stopped(victim, 2, "has the schema `kernels.sum/2`, which this program cannot read");
  }
}

TEST_CASE("attack 51: a key that is given twice is refused", "[attacks]") {
  Victim victim;
  auto name = GENERATE(as<std::string>{}, "kernels.lock", "kernels.sum");
  auto text = victim.read(name);
  auto commit = "\"commit\"";
  put(victim.folder() / name,
      replaced(text, commit, "\"commit\": \"" + std::string(40, 'e') + "\", \"commit\""));
  check_stopped(victim, 2, "is given twice");
}

TEST_CASE("attack 52: merge-conflict markers are named", "[attacks]") {
  Victim victim;
  auto name = GENERATE(as<std::string>{}, "kernels.lock", "kernels.sum");
  auto text = victim.read(name);
  put(victim.folder() / name, "<<<<<<< ours\n" + text + "\n=======\n" + text + "\n>>>>>>> theirs\n");
  check_stopped(victim, 2, "holds merge-conflict markers");
}

TEST_CASE("attack 53: writing a lock replaces a link and leaves what it leads to alone", "[attacks]") {
  Victim victim;
  for (const char* name : {"kernels.lock", "kernels.sum"}) {
    put(victim.temp / "precious", "precious\n");
    std::filesystem::remove(victim.folder() / name);
    std::filesystem::create_symlink(victim.temp / "precious", victim.folder() / name);
  }
  CHECK(victim.kernels({"download"}).status == 2);  // what the link leads to is no lock
  CHECK(victim.kernels({"lock"}).status == 0);
  for (const char* name : {"kernels.lock", "kernels.sum"}) {
    std::filesystem::remove(victim.folder() / name);
    std::filesystem::create_symlink("nowhere", victim.folder() / name);
  }
  CHECK(victim.kernels({"lock"}).status == 0);
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(victim.folder() / "kernels.lock")));
  CHECK_FALSE(std::filesystem::exists(victim.folder() / "nowhere"));
  CHECK(content_of(victim.temp / "precious") == "precious\n");
}

TEST_CASE("attack 54: a lock that is replaced while it is used is not mixed with the new one", "[attacks]") {
  Victim victim;
  auto lock = victim.read("kernels.lock");
  auto sum = victim.read("kernels.sum");
  auto newer = victim.publish_simple("relu", 1, "newer");
  REQUIRE(victim.kernels({"lock", "--upgrade"}).status == 0);
  auto new_lock = victim.read("kernels.lock");
  auto new_sum = victim.read("kernels.sum");
  put(victim.folder() / "kernels.lock", lock);
  put(victim.folder() / "kernels.sum", sum);
  victim.hub->forget_seen();
  victim.hub->add(
      {.path_pattern = "\\.so", .times = 1, .lie = lie::byte_by_byte(std::chrono::microseconds(50))});
  auto run = victim.kernels({"download"}, {.meanwhile = [&](int) {
                              for (int i = 0; i < 500 && victim.hub->seen().empty(); ++i)
                                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                              put(victim.folder() / "kernels.lock", new_lock);
                              put(victim.folder() / "kernels.sum", new_sum);
                            }});
  INFO(run.err);
  CHECK(run.status == 0);
  for (const auto& request : victim.hub->seen())
    CHECK(has(request.target, "/resolve/" + victim.commit + "/"));
  CHECK_FALSE(std::filesystem::exists(victim.repository() / "snapshots" / newer));
  check_cache_is_valid(victim);
}
