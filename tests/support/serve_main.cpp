// The commands of `kernels` that tests of other programs need, straight on the library: `import`, `serve`,
// `lock`, `download`, `check`, with the same arguments. `serve` ends when its standard input does.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <unistd.h>

#include "kernels/cache/import.h"
#include "kernels/machine/detect.h"
#include "kernels/ops/check.h"
#include "kernels/ops/download.h"
#include "kernels/ops/lock.h"
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
  return std::ranges::find(args, name) != args.end();
}

int complain(const Error& error) {
  std::fprintf(stderr, "error: %s\nhint: %s\n", describe(error).c_str(), error.hint().c_str());
  return 1;
}

int run_import(const std::vector<std::string>& args, const hub::Settings& settings) {
  auto repo = RepoId::parse(option(args, "--repo-id", ""));
  if (!repo) return complain(repo.error());
  cache::ImportRequest request{.folder = args[1], .repo = *repo, .durable = Durable::no};
  auto version = option(args, "--version", "");
  if (!version.empty()) request.version = std::stoull(version);
  auto report = cache::import_folder(cache::Layout(settings.cache), request);
  if (!report) return complain(report.error());
  std::printf("%s\n", report->commit.str().c_str());
  return 0;
}

int run_lock(const std::vector<std::string>& args, const hub::Settings& settings) {
  ops::LockRequest request{.settings = settings,
                           .folder = args[1],
                           .upgrade = {},
                           .form = {},
                           .target_names = {},
                           .user_agent = "kernels-test"};
  auto form = option(args, "--lock-format", "");
  if (!form.empty()) request.form = form == "v1" ? LockForm::v1 : LockForm::v2;
  auto report = ops::lock_project(request, {});
  return report ? 0 : complain(report.error());
}

/// The lock with all its files, also when Python wrote it and only the pins are on disk.
Result<Lock> full_lock(const ops::LockFiles& files, const hub::Settings& settings) {
  if (files.sum) return *files.sum;
  auto project = ops::load_project(files.folder);
  if (!project) return fail(std::move(project).error());
  auto resolution = ops::resolve_pins(settings, files, *project, "kernels-test", {});
  if (!resolution) return fail(std::move(resolution).error());
  return std::move(resolution->lock);
}

int run_download(const std::vector<std::string>& args, const hub::Settings& settings) {
  auto files = ops::load_lock_files(args[1]);
  if (!files) return complain(files.error());
  if (!*files) return complain(Error(Errc::not_found, "there is no kernels.lock"));
  auto lock = full_lock(**files, settings);
  if (!lock) return complain(lock.error());
  ops::VariantChoice choice{.targets = {machine::detect(hub::process_environment()).target}, .names = {}};
  if (has(args, "--all-variants")) choice.kind = ops::VariantChoice::Kind::all;
  cache::Layout layout(settings.cache);
  auto plan = ops::plan_download(layout, ops::choose_variants(*lock, choice));
  auto report = ops::download(layout, std::move(plan), {.settings = settings, .user_agent = "kernels-test"},
                              [](const Event&) {}, {});
  return report ? 0 : complain(report.error());
}

int run_check(const std::vector<std::string>& args, const hub::Settings& settings) {
  auto files = ops::load_lock_files(args[1]);
  if (!files) return complain(files.error());
  if (!*files) return complain(Error(Errc::not_found, "there is no kernels.lock"));
  auto target = machine::detect(hub::process_environment()).target;
  auto report = ops::check_lock(cache::Layout(settings.cache), **files, {target}, ops::Rehash::all_files,
                                [](const Event&) {}, {});
  if (!report) return complain(report.error());
  for (const auto& row : report->rows)
    std::printf("%s %s %s\n", row.repo.str().c_str(), row.variant.c_str(),
                ops::to_string(row.verdict).c_str());
  return report->good() ? 0 : 1;
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
  auto settings = hub::read_settings(hub::process_environment());
  if (!settings) return complain(settings.error());
  if (args.size() >= 2 && args[0] == "import") return run_import(args, *settings);
  if (args.size() >= 2 && args[0] == "serve") return run_serve(args);
  if (args.size() >= 2 && args[0] == "lock") return run_lock(args, *settings);
  if (args.size() >= 2 && args[0] == "download") return run_download(args, *settings);
  if (args.size() >= 2 && args[0] == "check") return run_check(args, *settings);
  std::fprintf(stderr, "usage: import PATH --repo-id R | serve CACHE | lock|download|check DIR\n");
  return 2;
}
