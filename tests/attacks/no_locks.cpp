// Preloaded into the program: a file system on which flock does nothing, or a clock that is wrong. What it
// does is said by KERNELS_TEST_FLOCK and KERNELS_TEST_CLOCK.

#include <cerrno>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static bool says(const char* name, char what) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] == what;
}

extern "C" int flock(int fd, int operation) noexcept {
  if (says("KERNELS_TEST_FLOCK", 'g')) return 0;  // granted, to everybody
  if (says("KERNELS_TEST_FLOCK", 'n')) {          // not implemented
    errno = ENOLCK;
    return -1;
  }
  // "blocks": one that may wait never comes back.
  while (says("KERNELS_TEST_FLOCK", 'b') && (operation & (LOCK_NB | LOCK_UN)) == 0)
    ::pause();
  return static_cast<int>(::syscall(SYS_flock, fd, operation));
}

extern "C" int clock_gettime(clockid_t clock, struct timespec* out) noexcept {
  auto code = static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  if (clock == CLOCK_REALTIME && says("KERNELS_TEST_CLOCK", 'p')) out->tv_sec = 86400;  // 1970
  if (clock == CLOCK_REALTIME && says("KERNELS_TEST_CLOCK", 'f'))
    out->tv_sec += 30LL * 31536000;  // in 30 years
  return code;
}
