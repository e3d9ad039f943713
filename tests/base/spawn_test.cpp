#include "kernels/base/spawn.h"

#include <array>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/file.h"

#include "support/catch.h"

using namespace kernels;

namespace {

/// What a shell says on its standard output, which is handed to it.
std::string output_of(const std::string& script, ProcessGroup group,
                      std::vector<std::string> environment = {"PATH=/usr/bin:/bin"}) {
  std::array<int, 2> pipe{};
  REQUIRE(pipe2(pipe.data(), O_CLOEXEC) == 0);
  UniqueFd read(pipe[0]);
  UniqueFd write(pipe[1]);
  SpawnSetup setup(group);
  setup.hand(write.get(), STDOUT_FILENO);
  auto pid = setup.start({"/bin/sh", "-c", script}, std::move(environment));
  REQUIRE(pid);
  write.reset();
  std::string out;
  std::array<char, 256> part{};
  for (ssize_t n = 0; (n = ::read(read.get(), part.data(), part.size())) > 0;)
    out.append(part.data(), static_cast<std::size_t>(n));
  int status = 0;
  REQUIRE(waitpid(*pid, &status, 0) == *pid);
  return out + "status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

TEST_CASE("spawn: a child has the environment that it is given, nothing to read, and what it is handed",
          "[base]") {
  CHECK(output_of("echo $A; read line || echo none; exit 3", ProcessGroup::ours, {"A=b c"}) ==
        "b c\nnone\nstatus 3");
}

TEST_CASE("spawn: a child is in our group of processes, or in its own", "[base]") {
  const std::string group = "cut -d' ' -f5 /proc/$$/stat";
  const auto ours = std::to_string(getpgrp()) + "\nstatus 0";
  CHECK(output_of(group, ProcessGroup::ours) == ours);
  CHECK(output_of(group, ProcessGroup::its_own) != ours);
}

TEST_CASE("spawn: what cannot be started is an error that names it", "[base]") {
  auto none = SpawnSetup(ProcessGroup::ours).start({"/nowhere/program"}, {});
  REQUIRE_FALSE(none);
  CHECK(describe(none.error()).find("/nowhere/program") != std::string::npos);
}
