#include <chrono>

#include "kernels/ops/lock.h"

#include "commands.h"
#include "view_lock.h"

namespace kernels::app {

namespace {

struct LockOptions {
  std::string folder = ".";
  bool check = false;
  bool dry_run = false;
  bool json = false;
  bool all_targets = false;
  std::vector<std::string> targets;
  std::vector<std::string> upgrade;
  bool upgrade_given = false;
  std::optional<std::string> form;
};

Result<ops::Upgrade> to_upgrade(const LockOptions& options) {
  ops::Upgrade upgrade;
  for (const auto& text : options.upgrade) {
    if (text.empty() || text == "{}") continue;  // how the parser spells an option without its value
    auto repo = RepoId::parse(text);
    if (!repo) return fail(std::move(repo).error());
    upgrade.repositories.insert(*repo);
  }
  upgrade.all = options.upgrade_given && upgrade.repositories.empty();
  return upgrade;
}

ExitCode status_of(const LockOptions& options, const ops::LockReport& report) {
  if (!report.gaps.empty()) return ExitCode::no;
  return options.check && report.changed ? ExitCode::no : ExitCode::ok;
}

ExitCode run_lock(const LockOptions& options, App& app) {
  auto begin = std::chrono::steady_clock::now();
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto upgrade = to_upgrade(options);
  if (!upgrade) return app.fail(upgrade.error());
  bool write = !options.check && !options.dry_run;
  ops::LockRequest request{.settings = *settings,
                           .folder = options.folder,
                           .write = write ? ops::WriteLock::yes : ops::WriteLock::no,
                           .upgrade = std::move(*upgrade),
                           .form = std::nullopt,
                           .target_names = options.targets,
                           .all_targets = options.all_targets,
                           .user_agent = app.user_agent()};
  if (options.form) request.form = *options.form == "v1" ? LockForm::v1 : LockForm::v2;
  auto report = ops::lock_project(request, app.stop_token());
  if (!report) return app.fail(report.error());
  for (const auto& warning : report->warnings)
    app.out().warning(warning);
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  auto action = options.check     ? LockAction::checked
                : options.dry_run ? LockAction::previewed
                                  : LockAction::written;
  app.out().result(options.json ? lock_json(*report, action) : lock_text(*report, action, took));
  return status_of(options, *report);
}

}  // namespace

Command add_lock(CLI::App& root) {
  auto options = std::make_shared<LockOptions>();
  auto* command =
      new_command(root, "lock", "Resolve a project's kernels and write kernels.lock and kernels.sum",
                  "  kernels lock\n"
                  "  kernels lock --check --all-targets\n"
                  "  kernels lock --upgrade kernels-community/activation\n");
  command->add_option("project_dir", options->folder, "Folder of the project")
      ->type_name("DIR")
      ->capture_default_str();
  command->add_flag("--check", options->check, "Write nothing; status 1 with a diff if the lock is stale");
  command->add_flag("--dry-run", options->dry_run, "Write nothing; show what would change");
  command
      ->add_option("--upgrade", options->upgrade,
                   "Move pins to what the Hub has now: of this repository, or all")
      ->type_name("REPO")
      ->expected(0, 1);
  command
      ->add_option("--target", options->targets,
                   "Fail if this target would find no variant: a name in the project file, or key=value,…")
      ->type_name("NAME");
  command->add_flag("--all-targets", options->all_targets, "The same for all targets of the project file");
  command->add_option("--lock-format", options->form, "Form of kernels.lock: v1 (up to 0.16) or v2")
      ->type_name("FORM")
      ->check(CLI::IsMember({"v1", "v2"}));
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options, command](App& app) {
            options->upgrade_given = command->count("--upgrade") > 0;
            return run_lock(*options, app);
          }};
}

}  // namespace kernels::app
