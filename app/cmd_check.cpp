#include <algorithm>
#include <filesystem>

#include "kernels/ops/check.h"
#include "kernels/ops/coverage.h"
#include "kernels/ops/project_files.h"

#include "commands.h"
#include "revision_flags.h"
#include "targets.h"
#include "trust_flags.h"
#include "view_check.h"
#include "view_matrix.h"

namespace kernels::app {

namespace {

namespace fs = std::filesystem;

struct CheckOptions {
  std::string subject = ".";
  RevisionFlags revision;
  TargetFlags targets;
  std::vector<std::string> modes;
  std::string format = "table";
  TrustFlags trust;
  bool rehash = false;
  bool fail_on_fallback = false;
  bool matrix = false;
  bool json = false;
  bool explain = false;
};

ExitCode status_of(const ops::CheckReport& report, const CheckOptions& options) {
  for (const auto& row : report.rows)
    if (row.verdict == ops::Verdict::damaged || !row.is_trusted()) return ExitCode::integrity;
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

/// What is asked about.
enum class Subject { project, path, repository };

Result<Subject> subject_of(const CheckOptions& options) {
  std::error_code code;
  fs::path path(options.subject);
  if (!fs::exists(path, code)) {
    if (RepoId::parse(options.subject)) return Subject::repository;
    return kernels::fail(
        Error(Errc::invalid_argument,
              "`" + options.subject + "` is neither a file, a folder nor a repository")
            .with_hint("give the folder of a project, a build, a library, or `organisation/name`"));
  }
  if (!fs::is_directory(path, code)) return Subject::path;
  for (const char* file : {"kernels.lock", "kernels.toml", "pyproject.toml"})
    if (fs::exists(path / file, code)) return Subject::project;
  // The default is a project that is not there; a folder with builds was named on purpose.
  return options.subject == "." && !fs::is_directory(path / "build", code) ? Subject::project : Subject::path;
}

Result<ops::LockFiles> lock_files_of(const CheckOptions& options) {
  auto files = ops::load_lock_files(options.subject);
  if (!files) return kernels::fail(std::move(files).error());
  if (!*files)
    return kernels::fail(
        Error(Errc::invalid_argument, "there is no `kernels.lock` in `" + options.subject + "`")
            .with_hint("give the folder of a project, and run `kernels lock` there first"));
  // Only `kernels.sum` says what the layers resolved to: without it, silence would look like "no fallback".
  if ((options.fail_on_fallback || options.matrix) && !(*files)->sum)
    return kernels::fail(
        Error(Errc::invalid_argument, "there is no `kernels.sum` in `" + options.subject +
                                          "`, so what the kernels and layers hold is not known")
            .with_hint("run `kernels lock` first"));
  return std::move(**files);
}

Result<ops::CheckRequest> to_request(const CheckOptions& options, const Project& project, App& app) {
  auto modes = modes_of(options);
  if (!modes) return kernels::fail(std::move(modes).error());
  auto targets = select_targets(options.targets, &project, app);
  if (!targets) return kernels::fail(std::move(targets).error());
  auto rules = signature_rules(options.trust, project.trust);
  if (!rules) return kernels::fail(std::move(rules).error());
  bool is_here = !options.targets.all && options.targets.names.empty();
  return ops::CheckRequest{
      .targets = is_here ? targets_of(app.machine()) : *targets,
      .rehash = options.rehash ? ops::Rehash::all_files : ops::Rehash::changed_files,
      .modes = *modes,
      .signatures = *rules,
      .project = &project,
      .python_packages = is_here ? app.machine().python_packages : std::vector<fs::path>()};
}

Result<ops::CheckReport> ask(const CheckOptions& options, Subject subject, const ops::CheckRequest& request,
                             App& app) {
  if (subject == Subject::path) return ops::check_path(options.subject, request, app.stop_token());
  auto settings = app.settings();
  if (!settings) return kernels::fail(std::move(settings).error());
  if (subject == Subject::project) {
    auto files = lock_files_of(options);
    if (!files) return kernels::fail(std::move(files).error());
    return ops::check_lock(
        cache::Layout(settings->cache, settings->state), *files, request, [](const Event&) {},
        app.stop_token());
  }
  auto choice = to_choice(options.revision);
  if (!choice) return kernels::fail(std::move(choice).error());
  return ops::check_repository({.settings = *settings, .user_agent = app.user_agent()},
                               *RepoId::parse(options.subject), *choice, request, app.stop_token());
}

ExitCode run_matrix(const CheckOptions& options, Subject subject, App& app) {
  if (subject != Subject::project)
    return app.fail(
        Error(Errc::invalid_argument, "`check --matrix` is for projects")
            .with_hint("`kernels variants " + options.subject + " --matrix` does the same for one kernel"));
  auto files = lock_files_of(options);
  if (!files) return app.fail(files.error());
  auto coverage = ops::coverage_of_lock(*files->sum);
  auto* view = options.json || options.format == "json" ? &matrix_json
               : options.format == "markdown"           ? &matrix_markdown
                                                        : &matrix_text;
  app.out().result(view(coverage));
  return ExitCode::ok;
}

ExitCode run_check(const CheckOptions& options, App& app) {
  auto subject = subject_of(options);
  if (!subject) return app.fail(subject.error());
  if (*subject != Subject::repository && options.revision.any())
    return app.fail(Error(Errc::invalid_argument, "a file or folder has no versions or revisions")
                        .with_hint("leave out `--version` and `--revision`"));
  if (options.matrix) return run_matrix(options, *subject, app);
  auto found = ops::find_project(*subject == Subject::project ? options.subject : ".");
  if (!found) return app.fail(found.error());
  auto project = found->value_or(Project{});
  auto request = to_request(options, project, app);
  if (!request) return app.fail(request.error());
  auto report = ask(options, *subject, *request, app);
  if (!report) return app.fail(report.error());
  for (const auto& warning : report->warnings)
    app.out().warning(warning);
  auto detail = options.explain ? Explain::yes : Explain::no;
  bool json = options.json || options.format == "json";
  app.out().result(json ? check_json(*report, request->targets)
                        : check_text(*report, request->targets, detail));
  return status_of(*report, options);
}

void add_target_options(CLI::App& command, CheckOptions& options) {
  command
      .add_option(
          "--target", options.targets.names,
          "Check for this machine: a name in the project file, or key=value,…; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command.add_flag("--all-targets", options.targets.all, "Check for all targets of the project file");
  command
      .add_option("--mode", options.modes,
                  "Show what the layers do in this mode, for example `training|torch-compile`; may be given "
                  "several times (default: every mode)")
      ->type_name("MODE")
      ->allow_extra_args(false);
}

}  // namespace

Command add_check(CLI::App& root) {
  auto options = std::make_shared<CheckOptions>();
  auto* command =
      new_command(root, "check", "Will the kernels run here, or on another machine?",
                  "  kernels check\n"
                  "  kernels check --target os=linux,cpu=x86_64,torch=2.11,cuda=13.0,capability=9.0\n"
                  "  kernels check --all-targets --json\n"
                  "  kernels check --target prod --mode inference --fail-on-fallback\n"
                  "  kernels check kernels-community/activation --explain\n"
                  "  kernels check ./libattention.so\n");
  command
      ->add_option("subject", options->subject,
                   "Folder of a project (default: this one), a repository, a build, or a library")
      ->type_name("DIR|REPO|PATH");
  add_revision_flags(*command, options->revision);
  add_target_options(*command, *options);
  add_trust_flags(*command, options->trust);
  command->add_flag(
      "--fail-on-fallback", options->fail_on_fallback,
      "End with 1 if a layer runs its own forward instead of a kernel, or if that cannot be told");
  command->add_flag("--rehash", options->rehash, "Hash every file again, also those known to be verified");
  command->add_flag("--explain", options->explain,
                    "Show everything that was found, and every variant with its reason");
  command->add_flag("--matrix", options->matrix,
                    "Show which build every torch, backend and GPU would find, and the holes");
  auto* format =
      command->add_option("--format", options->format, "table (default), json, or markdown for a matrix")
          ->type_name("FORMAT")
          ->check(CLI::IsMember({"table", "markdown", "json"}));
  command->add_flag("--json", options->json, "The same as --format json")->excludes(format);
  return {command, [options](App& app) { return run_check(*options, app); }};
}

}  // namespace kernels::app
