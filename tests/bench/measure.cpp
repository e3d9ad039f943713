// Runs a command once for each line on stdin and says what it took, without the cost or the memory of the
// interpreter that asks: a child that a large process starts inherits that process's peak memory.
//
//   measure
//
// In:   arguments with tabs between them; the command's output goes to /dev/null, its errors to stderr
// Out:  one line: exit status, wall ns, user us, system us, peak KiB

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> out(1);
  for (char c : line) {
    if (c == '\t')
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

long long microseconds(const timeval& time) {
  return static_cast<long long>(time.tv_sec) * 1'000'000 + time.tv_usec;
}

void run(const std::string& line) {
  auto arguments = split(line);
  std::vector<char*> raw;
  for (auto& argument : arguments)
    raw.push_back(argument.data());
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  auto begin = std::chrono::steady_clock::now();
  pid_t child = 0;
  int failed = ::posix_spawnp(&child, raw[0], &actions, nullptr, raw.data(), environ);
  int status = 127 << 8;
  rusage used{};
  while (failed == 0 && ::wait4(child, &status, 0, &used) < 0 && errno == EINTR) {
  }
  auto took = std::chrono::steady_clock::now() - begin;
  posix_spawn_file_actions_destroy(&actions);
  std::printf("%d %lld %lld %lld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
              static_cast<long long>(std::chrono::nanoseconds(took).count()), microseconds(used.ru_utime),
              microseconds(used.ru_stime), used.ru_maxrss);
  std::fflush(stdout);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);)
    run(line);
}
