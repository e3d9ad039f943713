// peak_memory PROGRAM ARGUMENT...: runs it and writes the most memory that it held, in KiB, to descriptor 3.
//
// The kernel counts what a process held before `exec` as the new program's. Started from here that is next to
// nothing; started from a test it is all that the tests before it left behind.

#include <cstdio>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  constexpr int kAnswer = 3;
  if (argc < 2 || ::fcntl(kAnswer, F_SETFD, FD_CLOEXEC) != 0) return 127;
  pid_t child = ::fork();
  if (child == 0) {
    ::execvp(argv[1], argv + 1);
    ::_exit(127);
  }
  int status = 0;
  struct rusage usage{};
  if (::wait4(child, &status, 0, &usage) != child) return 127;
  ::dprintf(kAnswer, "%ld\n", usage.ru_maxrss);
  if (WIFSIGNALED(status)) ::kill(::getpid(), WTERMSIG(status));
  return WEXITSTATUS(status);
}
