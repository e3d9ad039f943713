// What the unpacking process can no longer do, tried in a forked child for each layer alone and for all
// together.

#include "kernels/bundle/sandbox.h"

#include <atomic>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/file.h"

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::test;

namespace {

/// Runs `attempt` in a child and returns what it returns; 128 + N if it was killed by signal N.
template <class Attempt>
int in_child(const Attempt& attempt) {
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(attempt());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// 0: the call was refused with that error.
int refused_with(long result, int wanted) {
  return result == -1 && errno == wanted ? 0 : 1;
}

int connect_to(std::uint16_t port) {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

/// A listening socket on a free port of the loopback.
struct Listener {
  UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::uint16_t port = 0;
  Listener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(fd.get(), 4) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
};

constexpr bundle::Allowance kAllowance{.memory_bytes = 64 << 20, .processor = std::chrono::seconds(5)};

int landlock_version() {
  static const int version = in_child([] { return bundle::restrict_files_and_network(); });
  return version;
}
bool has_seccomp() {
  static const bool has = in_child([] { return bundle::restrict_system_calls() ? 1 : 0; }) == 1;
  return has;
}

/// Says why a test has nothing to show on this kernel.
bool skipped(bool is_there, const char* what) {
  if (!is_there) std::fprintf(stderr, "SKIP: this kernel has no %s\n", what);
  return !is_there;
}

}  // namespace

TEST_CASE("sandbox: before, everything that is tried below works", "[sandbox]") {
  TempFolder temp;
  put(temp / "secret", "x");
  Listener listener;
  auto secret = (temp / "secret").string();
  CHECK(in_child([&] { return ::open(secret.c_str(), O_RDONLY) >= 0 ? 0 : 1; }) == 0);
  CHECK(in_child([&] { return ::open((secret + "2").c_str(), O_WRONLY | O_CREAT, 0600) >= 0 ? 0 : 1; }) == 0);
  CHECK(in_child([&] { return connect_to(listener.port) == 0 ? 0 : 1; }) == 0);
  CHECK(in_child([] {
          return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                         MAP_FAILED
                     ? 0
                     : 1;
        }) == 0);
}

TEST_CASE("sandbox: Landlock alone refuses every file and every TCP connection", "[sandbox]") {
  if (skipped(landlock_version() > 0, "Landlock")) return;
  TempFolder temp;
  put(temp / "secret", "x");
  auto secret = (temp / "secret").string();
  auto confined = [](auto attempt) {
    return in_child([&] { return bundle::restrict_files_and_network() > 0 ? attempt() : 99; });
  };
  CHECK(confined([&] { return refused_with(::open(secret.c_str(), O_RDONLY), EACCES); }) == 0);
  CHECK(confined([&] {
          return refused_with(::open((secret + "2").c_str(), O_WRONLY | O_CREAT, 0600), EACCES);
        }) == 0);
  CHECK(confined([&] { return refused_with(::unlink(secret.c_str()), EACCES); }) == 0);
  CHECK(confined([&] { return refused_with(::symlink("/etc", (secret + "3").c_str()), EACCES); }) == 0);
  CHECK(confined([&] { return refused_with(::mkdir((secret + "4").c_str(), 0700), EACCES); }) == 0);
  CHECK(confined([&] { return refused_with(::rename(secret.c_str(), (secret + "5").c_str()), EACCES); }) ==
        0);
  CHECK(confined([] { return refused_with(::execl("/bin/true", "true", nullptr), EACCES); }) == 0);
  if (skipped(landlock_version() >= 4, "Landlock for networks (version 4)")) return;
  Listener listener;
  CHECK(confined([&] { return refused_with(connect_to(listener.port), EACCES); }) == 0);
}

TEST_CASE("sandbox: seccomp alone refuses the calls themselves", "[sandbox]") {
  if (skipped(has_seccomp(), "seccomp")) return;
  auto confined = [](auto attempt) {
    return in_child([&] { return bundle::restrict_system_calls() ? attempt() : 99; });
  };
  CHECK(confined([] { return refused_with(::open("/dev/null", O_RDONLY), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::socket(AF_INET, SOCK_STREAM, 0), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::socket(AF_UNIX, SOCK_STREAM, 0), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::fork(), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::execl("/bin/true", "true", nullptr), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::kill(::getppid(), 0), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr), EPERM); }) == 0);
  CHECK(confined([] { return refused_with(::unlink("/nothing"), EPERM); }) == 0);
  CHECK(confined([] {
          auto* place = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return place == MAP_FAILED && errno == EPERM ? 0 : 1;
        }) == 0);
  CHECK(confined([] {
          auto* place = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return place != MAP_FAILED && ::mprotect(place, 4096, PROT_READ | PROT_EXEC) == -1 ? 0 : 1;
        }) == 0);
}

TEST_CASE("sandbox: a confined process reads and writes what is open, and nothing else", "[sandbox]") {
  TempFolder temp;
  put(temp / "secret", "x");
  auto secret = (temp / "secret").string();
  Listener listener;
  auto confined = [](auto attempt) {
    return in_child([&] {
      bundle::confine_this_process(kAllowance);
      return attempt();
    });
  };
  UniqueFd open_file(::open(secret.c_str(), O_RDWR | O_CLOEXEC));
  CHECK(confined([&] {
          char letter = 0;
          return ::pread(open_file.get(), &letter, 1, 0) == 1 && letter == 'x' ? 0 : 1;
        }) == 0);
  CHECK(confined([&] {
          std::string much(1 << 20, 'x');  // memory can still be had
          return much[1 << 19] == 'x' ? 0 : 1;
        }) == 0);
  CHECK(confined([&] { return ::open(secret.c_str(), O_RDONLY) == -1 ? 0 : 1; }) == 0);
  CHECK(confined([&] { return connect_to(listener.port) == -1 ? 0 : 1; }) == 0);
  CHECK(confined([&] { return ::fork() == -1 ? 0 : 1; }) == 0);
  // A file grows no more, even through a descriptor that was open: the limit's signal ends the process.
  CHECK(confined([&] { return ::pwrite(open_file.get(), "yyyy", 4, 0) == 4 ? 0 : 1; }) != 0);
  CHECK(*read_file(secret) == "x");
}

TEST_CASE("sandbox: a process that takes too much time is ended", "[sandbox]") {
  auto status = in_child([] {
    bundle::confine_this_process({.memory_bytes = 64 << 20, .processor = std::chrono::seconds(1)});
    for (std::atomic<std::uint64_t> turns = 0;; ++turns) {
    }
    return 0;
  });
  CHECK((status == 128 + SIGXCPU || status == 128 + SIGKILL));
}

TEST_CASE("sandbox: what a trial finds is what a confined process has, and the trial's process stays free",
          "[sandbox]") {
  auto tried = bundle::try_confinement();
  CHECK(in_child([&] {
          auto real = bundle::confine_this_process(kAllowance);
          return real.landlock == tried.landlock && real.seccomp == tried.seccomp ? 0 : 1;
        }) == 0);
  TempFolder temp;
  put(temp / "file", "x");  // this process can still open and write
}

TEST_CASE("sandbox: what is active is told in words", "[sandbox]") {
  CHECK(bundle::Confinement{.landlock = 4, .seccomp = true}.str() == "Landlock 4, seccomp");
  CHECK(bundle::Confinement{.landlock = 0, .seccomp = true}.str() == "no Landlock, seccomp");
  CHECK(bundle::Confinement{}.str() == "no Landlock, no seccomp: resource limits only");
}
