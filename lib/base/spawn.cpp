#include "kernels/base/spawn.h"

#include <csignal>

#include <fcntl.h>
#include <unistd.h>

namespace kernels {

namespace {

/// As the system wants them: pointers into the texts, and a null at the end.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

SpawnSetup::SpawnSetup(ProcessGroup group) {
  posix_spawn_file_actions_init(&actions_);
  posix_spawnattr_init(&attributes_);
  posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes_, &none);
  short flags = POSIX_SPAWN_SETSIGMASK;
  if (group == ProcessGroup::its_own) flags |= POSIX_SPAWN_SETPGROUP;
  posix_spawnattr_setpgroup(&attributes_, 0);
  posix_spawnattr_setflags(&attributes_, flags);
}

SpawnSetup::~SpawnSetup() {
  posix_spawn_file_actions_destroy(&actions_);
  posix_spawnattr_destroy(&attributes_);
}

void SpawnSetup::hand(int ours, int its) {
  posix_spawn_file_actions_adddup2(&actions_, ours, its);
}

Result<pid_t> SpawnSetup::start(std::vector<std::string> arguments,
                                std::vector<std::string> environment) const {
  pid_t pid = 0;
  const int code = posix_spawn(&pid, arguments[0].c_str(), &actions_, &attributes_,
                               pointers_to(arguments).data(), pointers_to(environment).data());
  if (code != 0) return fail(system_error("start", arguments[0], code));
  return pid;
}

}  // namespace kernels
