// `import PATH --repo-id R [--version N] --cache DIR` and `serve DIR [options]` without the command line
// program: the smallest peer for tests that drive other programs. `serve` ends when its standard input does.
#include <cstdio>
#include <string>
#include <vector>

#include <unistd.h>

#include "kernels/cache/import.h"
#include "kernels/ops/serve.h"

using namespace kernels;

namespace {

std::string option(const std::vector<std::string>& args, const std::string& name,
                   const std::string& otherwise) {
  for (std::size_t i = 0; i + 1 < args.size(); ++i)
    if (args[i] == name) return args[i + 1];
  return otherwise;
}

bool has(const std::vector<std::string>& args, const std::string& name) {
  for (const auto& arg : args)
    if (arg == name) return true;
  return false;
}

int complain(const Error& error) {
  std::fprintf(stderr, "error: %s\nhint: %s\n", describe(error).c_str(), error.hint().c_str());
  return 1;
}

int run_import(const std::vector<std::string>& args) {
  auto repo = RepoId::parse(option(args, "--repo-id", ""));
  if (!repo) return complain(repo.error());
  cache::ImportRequest request{.folder = args[1], .repo = *repo, .durable = Durable::no};
  auto version = option(args, "--version", "");
  if (!version.empty()) request.version = std::stoull(version);
  auto report = cache::import_folder(cache::Layout(option(args, "--cache", "")), request);
  if (!report) return complain(report.error());
  std::printf("%s\n", report->commit.str().c_str());
  return 0;
}

int run_serve(const std::vector<std::string>& args) {
  ops::ServeRequest request{.cache = args[1], .options = {}};
  request.options.port = std::stoi(option(args, "--port", "0"));
  request.options.trusted_publishers = {option(args, "--trusted-publisher", "")};
  auto token = option(args, "--token", "");
  if (!token.empty()) request.options.token = Secret(token);
  auto delivery = has(args, "--redirect") ? hub::Delivery::redirect : hub::Delivery::direct;
  request.options.large_files = delivery;
  request.options.small_files = delivery;
  if (has(args, "--access-log"))
    request.options.access_log = [](const hub::AccessRecord& record) {
      std::fprintf(stderr, "%s %s %d\n", record.method.c_str(), record.target.c_str(), record.status);
    };
  auto server = ops::serve(request);
  if (!server) return complain(server.error());
  std::printf("%s\n", (*server)->url().c_str());
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

}  // namespace

int main(int argc, char* argv[]) {
  std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() >= 2 && args[0] == "import") return run_import(args);
  if (args.size() >= 2 && args[0] == "serve") return run_serve(args);
  std::fprintf(stderr, "usage: import PATH --repo-id R --cache DIR | serve DIR [--port N]\n");
  return 2;
}
