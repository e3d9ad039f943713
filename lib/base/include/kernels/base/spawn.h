#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/types.h>

#include "kernels/base/error.h"

namespace kernels {

/// Whose group of processes a child is in: Ctrl-C in a terminal reaches all of ours.
enum class ProcessGroup : std::uint8_t { ours, its_own };

/// How a child begins: nothing on its standard input, no signal blocked, and of our descriptors those that
/// are not close-on-exec and those that `hand` gives it.
class SpawnSetup {
 public:
  explicit SpawnSetup(ProcessGroup group);
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup();

  /// Our descriptor `ours` becomes the child's `its`, in the order of the calls.
  void hand(int ours, int its);

  /// Starts `arguments[0]`, a path. `environment`: `NAME=value`. The caller waits for it. Errors  io.
  Result<pid_t> start(std::vector<std::string> arguments, std::vector<std::string> environment) const;

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace kernels
