#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include "kernels/base/file.h"

#include "serve.h"

namespace kernels::app {

namespace fs = std::filesystem;

static fs::path find_server() {
  std::error_code code;
  auto here = fs::read_symlink("/proc/self/exe", code).parent_path();
  auto beside = here / "kernels-serve";
  return fs::exists(beside, code) ? beside : here.parent_path() / "libexec" / "kernels" / "kernels-serve";
}

/// Our own command line, once more: the server parses it with the same code.
static Result<std::vector<std::string>> own_arguments() {
  auto text = read_file("/proc/self/cmdline", 4 << 20);
  if (!text) return fail(std::move(text).error());
  std::vector<std::string> out;
  for (std::size_t at = 0, end = 0; (end = text->find('\0', at)) != std::string::npos; at = end + 1)
    out.push_back(text->substr(at, end - at));
  return out;
}

ExitCode run_serve(const ServeLine&, App& app) {
  auto arguments = own_arguments();
  if (!arguments) return app.fail(arguments.error());
  std::vector<char*> raw;
  for (auto& argument : *arguments)
    raw.push_back(argument.data());
  raw.push_back(nullptr);
  auto server = find_server();
  // It asks no other Hub. Its own token stays.
  ::unsetenv("HF_TOKEN");
  ::unsetenv("HUGGING_FACE_HUB_TOKEN");
  ::execv(server.c_str(), raw.data());
  return app.fail(system_error("start", server.string(), errno));
}

}  // namespace kernels::app
