#include "kernels/ops/query.h"

#include "commands.h"
#include "view_kernel.h"

namespace kernels::app {

namespace {

struct InfoOptions {
  std::string kernel;
  std::optional<std::uint64_t> version;
  std::optional<std::string> revision;
  bool json = false;
};

Result<ops::KernelInfo> ask(const InfoOptions& options, const hub::Settings& settings, App& app) {
  std::error_code code;
  if (std::filesystem::is_directory(options.kernel, code)) {
    if (options.version || options.revision)
      return fail(Errc::invalid_argument, "`--revision` and `--version` cannot be used with a folder");
    return ops::describe_local_kernel(options.kernel);
  }
  auto repo = RepoId::parse(options.kernel);
  if (!repo) return fail(std::move(repo).error());
  using Kind = ops::RevisionChoice::Kind;
  ops::RevisionChoice choice;
  if (options.version) choice = {.kind = Kind::version, .version = *options.version, .revision = {}};
  if (options.revision) {
    auto revision = parse_revision(*options.revision);
    if (!revision) return fail(std::move(revision).error());
    choice = {.kind = Kind::revision, .version = 0, .revision = *revision};
  }
  return ops::describe_kernel({.settings = settings, .user_agent = app.user_agent()}, *repo, choice,
                              app.stop_token());
}

ExitCode run_info(const InfoOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto info = ask(options, *settings, app);
  if (!info) return app.fail(info.error());
  app.out().result(options.json ? info_json(*info) : info_text(*info));
  return ExitCode::ok;
}

}  // namespace

Command add_info(CLI::App& root) {
  auto options = std::make_shared<InfoOptions>();
  auto* command = new_command(root, "info", "Describe a kernel",
                              "  kernels info kernels-community/activation\n"
                              "  kernels info ./activation --json\n");
  command->add_option("kernel", options->kernel, "A repository, or a folder with `build/`")
      ->required()
      ->type_name("REPO|PATH");
  auto* version =
      command->add_option("--version", options->version, "Version N; default: the highest")->type_name("N");
  command->add_option("--revision", options->revision, "A branch, tag or commit")
      ->type_name("R")
      ->excludes(version);
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_info(*options, app); }};
}

}  // namespace kernels::app
