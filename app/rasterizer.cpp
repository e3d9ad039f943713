#include "rasterizer.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/secret.h"

namespace kernels::app {

namespace fs = std::filesystem;

namespace {

std::optional<fs::path> find_program(std::string_view name) {
  const char* variable = std::getenv("PATH");
  std::string_view path = variable == nullptr ? "" : variable;
  while (!path.empty()) {
    const auto end = std::min(path.find(':'), path.size());
    auto candidate = fs::path(path.substr(0, end)) / name;
    std::error_code code;
    if (end > 0 && access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, code))
      return candidate;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return std::nullopt;
}

Error missing(const std::string& what, const std::string& package) {
  return Error(Errc::io, what + " is not installed, which `--rasterized` needs")
      .with_hint("install the package `" + package + "`, or leave out `--rasterized` for SVG files only");
}

/// posix_spawn's attributes and actions, released together.
class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, STDERR_FILENO, STDOUT_FILENO);  // stdout is for results
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes_, &none);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// Runs a program to its end. It stays in our group of processes, so that Ctrl-C reaches it too.
Status run(std::vector<std::string> arguments) {
  const SpawnSetup setup;
  auto environment = environment_without_tokens();
  pid_t pid = 0;
  const int code = posix_spawn(&pid, arguments[0].c_str(), setup.actions(), setup.attributes(),
                               pointers_to(arguments).data(), pointers_to(environment).data());
  if (code != 0) return fail(system_error("start", arguments[0], code));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail(system_error("wait for", arguments[0], errno));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Error(Errc::io,
                    "`" + arguments[0] + "` " +
                        (WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                                             : "ended with status " + std::to_string(WEXITSTATUS(status)))));
}

}  // namespace

Result<Rasterizer> Rasterizer::find() {
  Rasterizer out;
  auto draw = find_program("rsvg-convert");
  if (!draw) return fail(missing("`rsvg-convert`", "librsvg2-bin"));
  auto join = find_program("magick");
  if (!join) join = find_program("convert");
  if (!join) return fail(missing("ImageMagick (`magick` or `convert`)", "imagemagick"));
  out.draw_ = std::move(*draw);
  out.join_ = std::move(*join);
  return out;
}

Status Rasterizer::png(const fs::path& svg, int width, const fs::path& to) const {
  return run({draw_, "--width", std::to_string(width), "--keep-aspect-ratio", "--output", to, svg});
}

Status Rasterizer::gif(const std::vector<fs::path>& frames, int hundredths, const fs::path& to) const {
  std::vector<std::string> arguments = {join_, "-delay", std::to_string(hundredths), "-loop", "0"};
  for (const auto& frame : frames)
    arguments.push_back("png:" + frame.string());
  arguments.insert(arguments.end(), {"-layers", "optimize", "gif:" + to.string()});
  return run(std::move(arguments));
}

}  // namespace kernels::app
