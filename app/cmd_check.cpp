#include <algorithm>

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
  std::vector<std::string> modes;
  bool rehash = false;
  bool fail_on_fallback = false;
  bool json = false;
  bool explain = false;
};

ExitCode status_of(const ops::CheckReport& report, const CheckOptions& options) {
  for (const auto& row : report.rows)
    if (row.verdict == ops::Verdict::damaged) return ExitCode::integrity;
  bool refused = options.fail_on_fallback && report.has_fallback();
  return report.good() && !refused ? ExitCode::ok : ExitCode::no;
}

/// Those that were asked for, once each in the usual order; else all.
Result<std::vector<Mode>> modes_of(const CheckOptions& options) {
  std::vector<Mode> asked;
  for (const auto& text : options.modes) {
    auto mode = Mode::parse(text);
    if (!mode) return kernels::fail(std::move(mode).error().while_doing("reading `--mode`"));
    auto order = resolve::lookup_order(*mode);
    if (!order) return kernels::fail(std::move(order).error().while_doing("reading `--mode`"));
    asked.push_back(*mode);
  }
  std::vector<Mode> out;
  for (Mode mode : resolve::requestable_modes())
    if (asked.empty() || std::ranges::find(asked, mode) != asked.end()) out.push_back(mode);
  return out;
}

/// Only `kernels.sum` says what the layers resolved to: without it, silence would look like "no fallback".
Status can_tell_fallbacks(const ops::LockFiles& files, const CheckOptions& options) {
  if (!options.fail_on_fallback || files.sum) return {};
  return kernels::fail(Error(Errc::invalid_argument, "there is no `kernels.sum` in `" + options.folder +
                                                         "`, so what the layers do is not known")
                           .with_hint("run `kernels lock`, or check without `--fail-on-fallback`"));
}

ExitCode run_check(const CheckOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto files = ops::load_lock_files(options.folder);
  if (!files) return app.fail(files.error());
  if (!*files)
    return app.fail(Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + options.folder + "`")
                        .with_hint("give the folder of a project, and run `kernels lock` there first"));
  if (auto can = can_tell_fallbacks(**files, options); !can) return app.fail(can.error());
  auto modes = modes_of(options);
  if (!modes) return app.fail(modes.error());
  auto project = ops::load_project(options.folder).value_or(Project{});
  auto targets = select_targets(options.targets, &project, app);
  if (!targets) return app.fail(targets.error());
  ops::CheckRequest request{.targets = *targets,
                            .rehash = options.rehash ? ops::Rehash::all_files : ops::Rehash::changed_files,
                            .modes = *modes};
  auto report = ops::check_lock(
      cache::Layout(settings->cache), **files, request, [](const Event&) {}, app.stop_token());
  if (!report) return app.fail(report.error());
  for (const auto& warning : report->warnings)
    app.out().warning(warning);
  auto detail = options.explain ? Explain::yes : Explain::no;
  app.out().result(options.json ? check_json(*report, *targets) : check_text(*report, *targets, detail));
  return status_of(*report, options);
}

}  // namespace

Command add_check(CLI::App& root) {
  auto options = std::make_shared<CheckOptions>();
  auto* command =
      new_command(root, "check", "Will the locked kernels run here, or on another machine?",
                  "  kernels check\n"
                  "  kernels check --target os=linux,cpu=x86_64,torch=2.11,cuda=13.0,capability=9.0\n"
                  "  kernels check --all-targets --json\n"
                  "  kernels check --target prod --mode inference --fail-on-fallback\n");
  command->add_option("project_dir", options->folder, "Folder of the project")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--target", options->targets.names,
                   "Check for this machine: a name in the project file, or key=value,…; may be given several "
                   "times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->add_flag("--all-targets", options->targets.all, "Check for all targets of the project file");
  command
      ->add_option("--mode", options->modes,
                   "Show what the layers do in this mode, for example `training|torch-compile`; may be given "
                   "several times (default: every mode)")
      ->type_name("MODE")
      ->allow_extra_args(false);
  command->add_flag(
      "--fail-on-fallback", options->fail_on_fallback,
      "End with 1 if a layer runs its own forward instead of a kernel, or if that cannot be told");
  command->add_flag("--rehash", options->rehash, "Hash every file again, also those known to be verified");
  command->add_flag("--explain", options->explain, "Show every variant with the reason why it was not taken");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_check(*options, app); }};
}

}  // namespace kernels::app
