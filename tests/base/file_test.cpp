#include "kernels/base/file.h"

#include <array>
#include <chrono>
#include <csignal>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using kernels::test::put;
using kernels::test::TempFolder;
namespace fs = std::filesystem;

namespace {
std::size_t count_entries(const fs::path& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder))
    ++count;
  return count;
}
}  // namespace

TEST_CASE("read file: the content comes back byte by byte", "[base]") {
  TempFolder folder;
  std::string content(200'000, 'x');
  content[77] = '\0';
  put(folder / "a", content);
  CHECK(*read_file(folder / "a") == content);
  put(folder / "empty", "");
  CHECK(read_file(folder / "empty")->empty());
}

TEST_CASE("read file: a file longer than the limit is refused, one of exactly that length is not", "[base]") {
  TempFolder folder;
  put(folder / "a", "12345");
  CHECK(read_file(folder / "a", 5));
  CHECK(read_file(folder / "a", 4).error().code() == Errc::corrupt);
}

TEST_CASE("read file: what is missing is told apart from what cannot be read", "[base]") {
  TempFolder folder;
  put(folder / "a", "");
  CHECK(read_file(folder / "none").error().code() == Errc::not_found);
  CHECK(read_file(folder / "a" / "below").error().code() == Errc::not_found);
  CHECK(read_file(folder.path()).error().code() == Errc::io);
  fs::create_symlink("loop", folder / "loop");
  CHECK(read_file(folder / "loop").error().code() == Errc::io);
}

TEST_CASE("read file: a FIFO without a writer is refused at once", "[base]") {
  TempFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  auto begin = std::chrono::steady_clock::now();
  auto content = read_file(folder / "pipe");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
  REQUIRE_FALSE(content);
  CHECK(content.error().code() == Errc::io);
  CHECK(content.error().text().find("not a regular file") != std::string::npos);
  CHECK_FALSE(file_stamp(folder / "pipe"));
}

TEST_CASE("write file: folders are made, the old content is replaced, nothing else is left", "[base]") {
  TempFolder folder;
  auto durable = GENERATE(Durable::no, Durable::yes);
  REQUIRE(write_file(folder / "a" / "b" / "c", "old", durable));
  REQUIRE(write_file(folder / "a" / "b" / "c", "new", durable));
  CHECK(*read_file(folder / "a" / "b" / "c") == "new");
  CHECK(count_entries(folder / "a" / "b") == 1);
}

TEST_CASE("write file: the mode is 0666 less the umask", "[base]") {
  TempFolder folder;
  auto before = ::umask(027);
  auto written = write_file(folder / "a", "x", Durable::no);
  ::umask(before);
  REQUIRE(written);
  struct stat info{};
  REQUIRE(::stat((folder / "a").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777U) == 0640U);
}

TEST_CASE("write file: a write that fails half-way leaves the old content and no litter", "[base]") {
  TempFolder folder;
  put(folder / "a", "old");
  // A limit on the size of files makes the kernel cut the write off; in a child, for it cannot be lifted
  // again.
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit{100, 100};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto written = write_file(folder / "a", std::string(5000, 'n'), Durable::no);
    ::_exit(!written && written.error().code() == Errc::io ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(*read_file(folder / "a") == "old");
  CHECK(count_entries(folder.path()) == 1);
}

TEST_CASE("write file: a path that is a folder, or lies below a file, is an error that leaves no litter",
          "[base]") {
  TempFolder folder;
  put(folder / "full" / "x", "");
  put(folder / "file", "");
  CHECK_FALSE(write_file(folder / "full", "x", Durable::no));
  CHECK_FALSE(write_file(folder / "file" / "below", "x", Durable::no));
  CHECK(count_entries(folder.path()) == 2);
}

TEST_CASE("read and write at an offset: holes are zero, the end cuts short", "[base]") {
  TempFolder folder;
  UniqueFd fd(::open((folder / "a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(fd);
  std::array<std::byte, 3> abc = {std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  REQUIRE(write_at(fd.get(), abc, 4, "a"));
  CHECK(*read_file(folder / "a") == std::string("\0\0\0\0abc", 7));
  std::array<std::byte, 10> buffer{};
  CHECK(*read_at(fd.get(), buffer, 5, "a") == 2);
  CHECK(*read_at(fd.get(), buffer, 70, "a") == 0);
  CHECK_FALSE(write_at(-1, abc, 0, "a"));
  CHECK_FALSE(read_at(-1, buffer, 0, "a"));
}

TEST_CASE("file stamp: it changes with the content, and only regular files have one", "[base]") {
  TempFolder folder;
  put(folder / "a", "x");
  auto before = file_stamp(folder / "a");
  REQUIRE(before);
  CHECK(before == file_stamp(folder / "a"));
  REQUIRE(write_file(folder / "a", "y", Durable::no));
  CHECK(before != file_stamp(folder / "a"));
  CHECK_FALSE(file_stamp(folder.path()));
  CHECK_FALSE(file_stamp(folder / "none"));
  fs::create_symlink("a", folder / "link");
  CHECK(file_stamp(folder / "link") == file_stamp(folder / "a"));
}

TEST_CASE("file lock: one holder at a time, free again when it goes", "[base]") {
  using Outcome = FileLock::Outcome;
  TempFolder folder;
  {
    auto [first, held] = FileLock::try_lock(folder / "lock");
    CHECK(first == Outcome::locked);
    CHECK(FileLock::try_lock(folder / "lock").first == Outcome::held_by_another);
    auto moved = std::move(held);
    CHECK(FileLock::try_lock(folder / "lock").first == Outcome::held_by_another);
  }
  CHECK(FileLock::try_lock(folder / "lock").first == Outcome::locked);
}

TEST_CASE("file lock: where no lock can be made it says so and does not follow links", "[base]") {
  using Outcome = FileLock::Outcome;
  TempFolder folder;
  CHECK(FileLock::try_lock(folder / "none" / "lock").first == Outcome::unavailable);
  CHECK(FileLock::try_lock(folder.path()).first == Outcome::unavailable);
  fs::create_symlink("elsewhere", folder / "link");
  CHECK(FileLock::try_lock(folder / "link").first == Outcome::unavailable);
  CHECK_FALSE(fs::exists(folder / "elsewhere"));
}

TEST_CASE("unique descriptor: it is closed once, and moving leaves nothing behind", "[base]") {
  TempFolder folder;
  put(folder / "a", "x");
  UniqueFd first(::open((folder / "a").c_str(), O_RDONLY | O_CLOEXEC));
  int number = first.get();
  UniqueFd second = std::move(first);
  CHECK(second.get() == number);
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): the promise of the move
  second.reset();
  CHECK(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("folders: making what exists is no error, making below a file is one", "[base]") {
  TempFolder folder;
  CHECK(make_folders(folder / "a" / "b"));
  CHECK(make_folders(folder / "a" / "b"));
  CHECK(sync_folder(folder / "a"));
  put(folder / "file", "");
  CHECK_FALSE(make_folders(folder / "file" / "x"));
  CHECK_FALSE(sync_folder(folder / "none"));
  CHECK_FALSE(rename_path(folder / "none", folder / "x"));
}

TEST_CASE("random suffix: eight hexadecimal characters, another one each time", "[base]") {
  auto suffix = random_suffix();
  CHECK(suffix.size() == 8);
  CHECK(suffix.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(suffix != random_suffix());
}
