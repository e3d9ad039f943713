#include "kernels/ops/check.h"
#include "kernels/ops/project_files.h"

#include "commands.h"
#include "targets.h"
#include "view_check.h"

namespace kernels::app {

namespace {

struct CheckOptions {
  std::string folder = ".";
  TargetFlags targets;
  bool rehash = false;
  bool json = false;
  bool explain = false;
};

ExitCode status_of(const ops::CheckReport& report) {
  for (const auto& row : report.rows)
    if (row.verdict == ops::Verdict::damaged) return ExitCode::integrity;
  return report.good() ? ExitCode::ok : ExitCode::no;
}

ExitCode run_check(const CheckOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto files = ops::load_lock_files(options.folder);
  if (!files) return app.fail(files.error());
  if (!*files)
    return app.fail(Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + options.folder + "`")
                        .with_hint("give the folder of a project, and run `kernels lock` there first"));
  auto project = ops::load_project(options.folder).value_or(Project{});
  auto targets = select_targets(options.targets, &project, app);
  if (!targets) return app.fail(targets.error());
  auto rehash = options.rehash ? ops::Rehash::all_files : ops::Rehash::changed_files;
  auto report = ops::check_lock(
      cache::Layout(settings->cache), **files, *targets, rehash, [](const Event&) {}, app.stop_token());
  if (!report) return app.fail(report.error());
  for (const auto& warning : report->warnings)
    app.out().warning(warning);
  auto detail = options.explain ? Explain::yes : Explain::no;
  app.out().result(options.json ? check_json(*report, *targets) : check_text(*report, *targets, detail));
  return status_of(*report);
}

}  // namespace

Command add_check(CLI::App& root) {
  auto options = std::make_shared<CheckOptions>();
  auto* command =
      new_command(root, "check", "Will the locked kernels run here, or on another machine?",
                  "  kernels check\n"
                  "  kernels check --target os=linux,cpu=x86_64,torch=2.11,cuda=13.0,capability=9.0\n"
                  "  kernels check --all-targets --json\n");
  command->add_option("project_dir", options->folder, "Folder of the project")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--target", options->targets.names,
                   "Check for this machine: a name in the project file, or key=value,…")
      ->type_name("NAME");
  command->add_flag("--all-targets", options->targets.all, "Check for all targets of the project file");
  command->add_flag("--rehash", options->rehash, "Hash every file again, also those known to be verified");
  command->add_flag("--explain", options->explain, "Show every variant with the reason why it was not taken");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_check(*options, app); }};
}

}  // namespace kernels::app
