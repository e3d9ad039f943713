#include <algorithm>

#include "kernels/ops/inspect.h"
#include "kernels/ops/project_files.h"

#include "commands.h"
#include "revision_flags.h"
#include "targets.h"
#include "view_inspect.h"

namespace kernels::app {

namespace {

struct InspectOptions {
  std::string subject;
  RevisionFlags revision;
  ops::InspectChoice choice;
  std::optional<std::string> target;
  bool json = false;
};

Result<ops::InspectReport> ask(const InspectOptions& options, App& app) {
  std::error_code code;
  if (std::filesystem::exists(options.subject, code)) {
    if (options.revision.any())
      return fail(Error(Errc::invalid_argument, "a file or folder has no versions or revisions")
                      .with_hint("leave out `--version` and `--revision`"));
    return ops::inspect_path(options.subject, options.choice);
  }
  auto settings = app.settings();
  if (!settings) return fail(std::move(settings).error());
  auto repo = RepoId::parse(options.subject);
  if (!repo)
    return fail(Error(Errc::invalid_argument,
                      "`" + options.subject + "` is neither a file, a folder nor a repository")
                    .with_hint("give a path that exists, or a repository as `organisation/name`"));
  auto choice = to_choice(options.revision);
  if (!choice) return fail(std::move(choice).error());
  TargetFlags flags;
  if (options.target) flags.names = {*options.target};
  auto project = ops::load_project(".").value_or(Project{});
  auto targets = select_targets(flags, &project, app);
  if (!targets) return fail(std::move(targets).error());
  return ops::inspect_repository({.settings = *settings, .user_agent = app.user_agent()}, *repo, *choice,
                                 options.choice, targets->front(), app.stop_token());
}

/// A single file that cannot be read is the failure of the whole question.
std::optional<Error> only_failure(const ops::InspectReport& report) {
  if (report.variants.size() != 1 || !report.variants.front().name.empty()) return std::nullopt;
  for (const auto& library : report.variants.front().libraries)
    if (!library.failure.empty())
      return Error(Errc::no_match, "`" + report.path + "` cannot be read: " + library.failure);
  return std::nullopt;
}

bool everything_was_read(const ops::InspectReport& report) {
  return std::ranges::all_of(report.variants, [](const auto& variant) {
    return std::ranges::all_of(variant.libraries,
                               [](const auto& library) { return library.facts.has_value(); });
  });
}

ExitCode run_inspect(const InspectOptions& options, App& app) {
  auto report = ask(options, app);
  if (!report) return app.fail(report.error());
  if (auto failure = only_failure(*report)) return app.fail(*failure);
  app.out().result(options.json ? inspect_json(*report) : inspect_text(*report));
  return everything_was_read(*report) ? ExitCode::ok : ExitCode::no;
}

}  // namespace

Command add_inspect(CLI::App& root) {
  auto options = std::make_shared<InspectOptions>();
  auto* command = new_command(root, "inspect", "What is inside a kernel or library, read without loading it",
                              "  kernels inspect kernels-community/activation\n"
                              "  kernels inspect ./build/torch210-cxx11-cu128-x86_64-linux --functions\n"
                              "  kernels inspect libtorch_cuda.so --json\n");
  command->add_option("subject", options->subject, "A repository, a library, or a folder of builds")
      ->required()
      ->type_name("REPO|PATH");
  add_revision_flags(*command, options->revision);
  auto* all = command->add_flag("--all-variants", options->choice.all_variants, "Look into every variant");
  command
      ->add_option("--variant", options->choice.variants,
                   "Look into this variant (default: the one for this machine); may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->excludes(all);
  command
      ->add_option(
          "--target", options->target,
          "Look into the variant for this machine instead: a name in the project file, or key=value,…")
      ->type_name("NAME");
  command->add_flag("--functions", options->choice.functions, "List the GPU functions of every container");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_inspect(*options, app); }};
}

}  // namespace kernels::app
