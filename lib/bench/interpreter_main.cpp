// A process between the program and a Python interpreter. It runs nothing of others itself. Whatever the
// script starts and abandons becomes its child (it is their subreaper), so that it can end them all: when the
// interpreter has ended, when the program asks (SIGTERM), and when the program dies.

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/bench/worker.h"

#include "frame.h"
#include "python_driver.h"

namespace kernels::bench {

namespace {

namespace fs = std::filesystem;

/// The driver as a file that the interpreter opens by its number; -1: none.
int driver_file() {
  const int file = memfd_create("driver", 0);
  const auto text = python_driver();
  if (file < 0 || write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return -1;
  return file;
}

/// The parent's number in /proc/PID/stat: the second field after the name, which stands in brackets.
pid_t parent_of(const fs::path& process) {
  std::ifstream file(process / "stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 4 > text.size()) return -1;
  pid_t parent = -1;
  std::from_chars(text.data() + name_end + 4, text.data() + text.size(), parent);
  return parent;
}

void kill_children() {
  std::error_code code;
  for (fs::directory_iterator it("/proc", code), end; !code && it != end; it.increment(code)) {
    const auto name = it->path().filename().string();
    pid_t process = 0;
    const auto [rest, failure] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (failure != std::errc() || rest != name.data() + name.size()) continue;
    if (parent_of(it->path()) == getpid()) kill(process, SIGKILL);
  }
}

/// Ends all descendants: those of a killed child become children here, until there are none.
void sweep() {
  constexpr std::chrono::milliseconds kPause{1};
  constexpr int kRounds = 2000;
  for (int i = 0; i < kRounds; ++i) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD) return;
    kill_children();
    std::this_thread::sleep_for(kPause);
  }
}

/// In the child. Does not return.
[[noreturn]] void become(const char* interpreter, int driver, const sigset_t& signals) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  const std::string file = "/proc/self/fd/" + std::to_string(driver);
  if (execlp(interpreter, interpreter, "-u", "-B", file.c_str(), static_cast<char*>(nullptr)) != 0) {
    CaseAnswer answer;
    answer.result.verdict = Verdict::failed;
    answer.result.reason = "cannot start `" + std::string(interpreter) + "`: " + std::strerror(errno);
    if (auto sent = write_frame(kAnswerDescriptor, "{\"answer\":" + encode(answer) + "}"); !sent) _exit(1);
  }
  _exit(127);
}

/// Ends as the interpreter did.
[[noreturn]] void end_as(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    std::signal(number, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(SIG_UNBLOCK, &one, nullptr);
    raise(number);
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/// Waits until the interpreter ends, or this process is asked to end: then nothing.
std::optional<int> status_of(pid_t interpreter, const sigset_t& awaited) {
  for (;;) {
    int number = 0;
    if (sigwait(&awaited, &number) != 0) continue;
    if (number == SIGTERM) return std::nullopt;
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == interpreter) return status;
  }
}

}  // namespace

int interpreter_main(pid_t parent, const char* interpreter) {
  sigset_t awaited;
  sigset_t before;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGCHLD);
  sigprocmask(SIG_BLOCK, &awaited, &before);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // The parent may have died before the first line.
  if (getppid() != parent) return 1;
  const int driver = driver_file();
  if (driver < 0) return 1;
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) become(interpreter, driver, before);
  // The ends of the connection that are left here would hide that the interpreter has gone.
  for (int descriptor = 0; descriptor <= 5; ++descriptor)
    close(descriptor);
  const auto status = status_of(child, awaited);
  sweep();
  if (status) end_as(*status);
  _exit(1);
}

}  // namespace kernels::bench
