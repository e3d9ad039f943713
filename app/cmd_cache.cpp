#include <chrono>

#include "kernels/ops/cache_care.h"

#include "commands.h"
#include "view_cache.h"

namespace kernels::app {

namespace {

struct CacheOptions {
  std::vector<std::string> repositories;
  bool repair = false;
  bool dry_run = false;
  std::uint64_t days = 1;
  bool json = false;
};

ExitCode run_path(App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  app.out().result(settings->cache.string() + "\n");
  return ExitCode::ok;
}

ExitCode run_list(const CacheOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto repositories = ops::list_cache(cache::Layout(settings->cache, settings->state));
  app.out().result(options.json ? cache_list_json(settings->cache.string(), repositories)
                                : cache_list_text(repositories));
  return ExitCode::ok;
}

ExitCode run_verify(const CacheOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  ops::CacheVerifyRequest request{.settings = *settings,
                                  .repositories = {},
                                  .repair = options.repair ? ops::Repair::yes : ops::Repair::no,
                                  .user_agent = app.user_agent()};
  for (const auto& name : options.repositories) {
    auto repo = RepoId::parse(name);
    if (!repo) return app.fail(repo.error());
    request.repositories.push_back(std::move(*repo));
  }
  auto report = ops::verify_cache(request, app.events(), app.stop_token());
  if (!report) return app.fail(report.error());
  app.out().result(options.json ? cache_verify_json(settings->cache.string(), *report)
                                : cache_verify_text(*report));
  return report->good() ? ExitCode::ok : ExitCode::integrity;
}

ExitCode run_prune(const CacheOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto dry = options.dry_run ? ops::DryRun::yes : ops::DryRun::no;
  auto pruned =
      ops::prune_cache(cache::Layout(settings->cache, settings->state), std::chrono::days(options.days), dry);
  if (!pruned) return app.fail(pruned.error());
  app.out().result(options.json ? cache_prune_json(settings->cache.string(), *pruned, dry)
                                : cache_prune_text(*pruned, dry));
  return ExitCode::ok;
}

Command add_verify(CLI::App& cache) {
  auto options = std::make_shared<CacheOptions>();
  auto* command = new_command(cache, "verify", "Read everything again: is it what it says?",
                              "  kernels cache verify\n"
                              "  kernels cache verify acme/attention --repair\n");
  command->add_option("repos", options->repositories, "Only these repositories")->type_name("REPO");
  command->add_flag("--repair", options->repair,
                    "Fetch from the Hub what is wrong; remove what it does not have");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_verify(*options, app); }};
}

Command add_prune(CLI::App& cache) {
  auto options = std::make_shared<CacheOptions>();
  auto* command = new_command(cache, "prune", "Remove downloads that were left and files that no kernel has",
                              "  kernels cache prune --dry-run\n"
                              "  kernels cache prune --days 0\n");
  command->add_option("--days", options->days, "Only what nobody has touched for so many days")
      ->type_name("N")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "Remove nothing; say what would be removed");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_prune(*options, app); }};
}

}  // namespace

std::vector<Command> add_cache(CLI::App& root) {
  auto* command = new_command(root, "cache", "The cache that is shared with the Python packages",
                              "  kernels cache path\n"
                              "  kernels cache ls\n"
                              "  kernels cache verify --repair\n");
  command->require_subcommand(1);
  auto* path = new_command(*command, "path", "Print where the cache is", "  ls $(kernels cache path)\n");
  auto options = std::make_shared<CacheOptions>();
  auto* list = new_command(*command, "ls", "List the kernels in the cache", "  kernels cache ls --json\n");
  list->add_flag("--json", options->json, "Print the result as JSON");
  return {{path, [](App& app) { return run_path(app); }},
          {list, [options](App& app) { return run_list(*options, app); }},
          add_verify(*command),
          add_prune(*command)};
}

}  // namespace kernels::app
