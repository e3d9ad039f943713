#include "commands.h"

namespace kernels::app {

static ExitCode run_cache_path(App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  app.out().result(settings->cache.string() + "\n");
  return ExitCode::ok;
}

std::vector<Command> add_cache(CLI::App& root) {
  auto* command = new_command(root, "cache", "The cache that is shared with the Python packages",
                              "  kernels cache path\n");
  command->require_subcommand(1);
  auto* path = new_command(*command, "path", "Print where the cache is", "  ls $(kernels cache path)\n");
  return {{path, [](App& app) { return run_cache_path(app); }}};
}

}  // namespace kernels::app
