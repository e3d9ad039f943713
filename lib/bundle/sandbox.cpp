#include "kernels/bundle/sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <vector>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/file.h"

#if defined(__SANITIZE_ADDRESS__)
#define KERNELS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KERNELS_ADDRESS_SANITIZER 1
#endif
#endif

namespace kernels::bundle {

namespace {

// Landlock's numbers, which headers of older kernels lack in part. Source
// Documentation/userspace-api/landlock.rst
constexpr long kCreateRuleset = 444;
constexpr long kRestrictSelf = 446;
constexpr unsigned kAskVersion = 1;
struct RulesetAttributes {
  std::uint64_t files;    // from version 1 on
  std::uint64_t network;  // 4
  std::uint64_t scoped;   // 6
};

/// Every right that the version knows; rights that it does not know are an error.
RulesetAttributes all_rights(long version) {
  constexpr std::array<unsigned, 6> kFileRights = {0, 13, 14, 15, 15, 16};
  auto known = kFileRights.at(static_cast<std::size_t>(std::clamp(version, 1L, 5L)));
  return {.files = (1ULL << known) - 1,
          .network = version >= 4 ? 3ULL : 0,  // binding and connecting by TCP
          .scoped = version >= 6 ? 3ULL : 0};  // abstract Unix sockets, signals
}

std::size_t attribute_bytes(long version) {
  if (version < 4) return offsetof(RulesetAttributes, network);
  return version < 6 ? offsetof(RulesetAttributes, scoped) : sizeof(RulesetAttributes);
}

bool give_up_new_privileges() {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned kArchitecture = 0;
#endif

constexpr std::array kAllowedCalls = {
    // the work itself
    SYS_read, SYS_pread64, SYS_write, SYS_writev, SYS_close,
    // memory
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise,
    // what the C library does by itself
    SYS_futex, SYS_getrandom, SYS_clock_gettime, SYS_sched_yield, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tgkill,
#ifdef KERNELS_ADDRESS_SANITIZER  // which asks by a pipe whether memory can be read, and where the stack is
    SYS_pipe2, SYS_sigaltstack,
#endif
    // the end
    SYS_exit, SYS_exit_group};

sock_filter statement(unsigned code, unsigned value) {
  return {.code = static_cast<unsigned short>(code), .jt = 0, .jf = 0, .k = value};
}
/// Goes on if the value is equal, leaves out `otherwise` instructions if not.
sock_filter unless_equal_skip(long value, unsigned char otherwise) {
  return {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = otherwise, .k = static_cast<unsigned>(value)};
}
sock_filter load(std::size_t offset) {
  return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset));
}

std::vector<sock_filter> call_filter() {
  const auto allow = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const auto refuse = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  const auto kill = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  std::vector<sock_filter> program = {
      load(offsetof(seccomp_data, arch)),
      {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 1, .jf = 0, .k = kArchitecture},
      kill,
      load(offsetof(seccomp_data, nr))};
  for (long call : kAllowedCalls) {
    program.push_back(unless_equal_skip(call, 1));
    program.push_back(allow);
  }
  // New memory, but never such that a program could be put there. The protection is the third argument of
  // both.
  for (long call : {SYS_mmap, SYS_mprotect}) {
    program.push_back(unless_equal_skip(call, 4));
    program.push_back(load(offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t)));
    program.push_back({.code = BPF_JMP | BPF_JSET | BPF_K, .jt = 0, .jf = 1, .k = PROT_EXEC});
    program.push_back(refuse);
    program.push_back(allow);
  }
  program.push_back(refuse);
  return program;
}

void limit(__rlimit_resource_t resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) == 0) value = std::min(value, now.rlim_max);
  now = {.rlim_cur = value, .rlim_max = value};
  ::setrlimit(resource, &now);
}

#ifndef KERNELS_ADDRESS_SANITIZER
/// Address space that this process has by now, in bytes; 0 if that is not to be found out.
std::uint64_t address_space() {
  auto text = read_file("/proc/self/statm", 4096);
  if (!text) return 0;
  auto pages = std::strtoull(text->c_str(), nullptr, 10);
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}
#endif

}  // namespace

std::string Confinement::str() const {
  auto out = landlock > 0 ? "Landlock " + std::to_string(landlock) : std::string("no Landlock");
  out += seccomp ? ", seccomp" : ", no seccomp";
  return landlock > 0 || seccomp ? out : out + ": resource limits only";
}

int restrict_files_and_network() {
  auto version = ::syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  if (version < 1) return 0;
  auto attributes = all_rights(version);
  UniqueFd ruleset(static_cast<int>(::syscall(kCreateRuleset, &attributes, attribute_bytes(version), 0)));
  // A ruleset without a rule: everything that it handles is forbidden everywhere.
  if (!ruleset || !give_up_new_privileges()) return 0;
  return ::syscall(kRestrictSelf, ruleset.get(), 0) == 0 ? static_cast<int>(version) : 0;
}

bool restrict_system_calls() {
  if (kArchitecture == 0 || !give_up_new_privileges()) return false;
  auto filter = call_filter();
  sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

Confinement confine_this_process(const Allowance& allowance) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#ifndef KERNELS_ADDRESS_SANITIZER  // whose shadow takes more than any limit would allow
  if (auto now = address_space(); now > 0) limit(RLIMIT_AS, now + allowance.memory_bytes);
#endif
  Confinement out;
  out.landlock = restrict_files_and_network();
  limit(RLIMIT_CPU, static_cast<rlim_t>(allowance.processor.count()));
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);
#ifndef KERNELS_ADDRESS_SANITIZER
  limit(RLIMIT_NOFILE, 0);
#endif
  out.seccomp = restrict_system_calls();
  return out;
}

Confinement try_confinement() {
  constexpr int kMostLandlock = 63;  // the child's status holds 7 bits of this
  auto child = ::fork();
  if (child == 0) {
    auto confined = confine_this_process({.memory_bytes = 1 << 20});
    ::_exit(std::min(confined.landlock, kMostLandlock) << 1 | (confined.seccomp ? 1 : 0));
  }
  int status = 0;
  pid_t waited = -1;
  do
    waited = child < 0 ? -1 : ::waitpid(child, &status, 0);
  while (waited < 0 && child > 0 && errno == EINTR);
  if (waited != child || child < 0 || !WIFEXITED(status)) return {};
  return {.landlock = WEXITSTATUS(status) >> 1, .seccomp = (WEXITSTATUS(status) & 1) != 0};
}

}  // namespace kernels::bundle
