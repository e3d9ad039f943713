#include "rasterizer.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/secret.h"
#include "kernels/base/spawn.h"

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

/// Runs a program to its end.
Status run(std::vector<std::string> arguments) {
  SpawnSetup setup(ProcessGroup::ours);
  setup.hand(STDERR_FILENO, STDOUT_FILENO);  // stdout is for results
  const auto program = arguments[0];
  auto pid = setup.start(std::move(arguments), environment_without_tokens());
  if (!pid) return std::unexpected(std::move(pid).error());
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0)
    if (errno != EINTR) return fail(system_error("wait for", program, errno));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Error(Errc::io,
                    "`" + program + "` " +
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
