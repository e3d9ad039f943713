#include "support/program.h"

#include <array>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace kernels::test {

namespace {

std::vector<std::string> environment_of(const RunOptions& options) {
  std::vector<std::string> out;
  for (const char* kept : {"PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS"})
    if (const char* value = std::getenv(kept); value != nullptr && !options.environment.contains(kept))
      out.push_back(std::string(kept) + "=" + value);
  for (const auto& [name, value] : options.environment)
    out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// Reads from one pipe; false at its end.
bool drain(int fd, std::string& into) {
  std::array<char, 65536> buffer{};
  ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got <= 0) return false;
  into.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

/// Gives a descriptor the number under which the next program expects it.
void hand_over(int fd, int number) {
  if (fd == number)
    ::fcntl(fd, F_SETFD, 0);
  else
    ::dup2(fd, number);
}

}  // namespace

Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options) {
  auto texts = arguments;
  if (options.measure_memory) texts.insert(texts.begin(), KERNELS_PEAK_MEMORY);
  auto variables = environment_of(options);
  auto argv = pointers(texts);
  auto envp = pointers(variables);
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  std::array<int, 2> memory{};
  for (auto* ends : {&out, &err, &memory})
    if (::pipe2(ends->data(), O_CLOEXEC) != 0) std::abort();
  pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    if (options.measure_memory) hand_over(memory[1], 3);
    if (options.allow_core) {
      rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
      ::setrlimit(RLIMIT_CORE, &unlimited);
    }
    if (::chdir(options.folder.c_str()) == 0) ::execvpe(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  ::close(memory[1]);
  if (options.meanwhile) options.meanwhile(child);
  Outcome outcome;
  auto begin = std::chrono::steady_clock::now();
  bool signalled = false;
  std::array<pollfd, 2> fds = {
      {{.fd = out[0], .events = POLLIN, .revents = 0}, {.fd = err[0], .events = POLLIN, .revents = 0}}};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    ::poll(fds.data(), fds.size(), 5);
    if (fds[0].revents != 0 && !drain(out[0], outcome.out)) fds[0].fd = -1;
    if (fds[1].revents != 0 && !drain(err[0], outcome.err)) fds[1].fd = -1;
    auto elapsed = std::chrono::steady_clock::now() - begin;
    if (options.signal_after.count() > 0 && !signalled && elapsed > options.signal_after) {
      ::kill(child, options.signal);
      signalled = true;
    }
    if (elapsed > std::chrono::minutes(1)) ::kill(child, SIGKILL);
  }
  ::close(out[0]);
  ::close(err[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (std::string kib; drain(memory[0], kib)) outcome.peak_kib = std::stol(kib);
  ::close(memory[0]);
  outcome.dumped_core = WIFSIGNALED(status) && WCOREDUMP(status);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace kernels::test
