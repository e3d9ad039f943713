#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace kernels::bundle {

/// What holds a process back that reads bytes of others.
struct Confinement {
  int landlock = 0;      ///< version of Landlock's interface; 0: this kernel has none
  bool seccomp = false;  ///< only the system calls that reading and answering take
  /// "Landlock 7, seccomp"; "no Landlock, no seccomp: resource limits only".
  std::string str() const;
};

/// How much the process may still use.
struct Allowance {
  std::uint64_t memory_bytes = 0;  ///< more than it has now
  std::chrono::seconds processor{60};
};

/// Takes from this process, for good, what it does not need to read one open descriptor and to write another:
/// it opens no file, makes no socket, process or program, maps nothing executable, gains no rights, leaves no
/// core, writes no file, and is killed past its allowance and when its parent ends. Descriptors that are
/// open stay usable. What the kernel does not have is left out, and the result says so.
///
/// Threads  for a process of one thread; the others would keep their rights.
Confinement confine_this_process(const Allowance& allowance);

/// What `confine_this_process` comes to here: tried in a child that then ends. Nothing where there can be no
/// child.
Confinement try_confinement();

/// The two layers alone. Each needs `PR_SET_NO_NEW_PRIVS`, which it sets.
/// Returns the version of Landlock's interface; 0 if the kernel has none.
int restrict_files_and_network();
bool restrict_system_calls();

}  // namespace kernels::bundle
