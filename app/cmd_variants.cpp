#include "kernels/ops/query.h"

#include "commands.h"
#include "revision_flags.h"
#include "targets.h"
#include "view_kernel.h"
#include "view_matrix.h"

namespace kernels::app {

namespace {

struct VariantOptions {
  std::string kernel;
  RevisionFlags revision;
  std::optional<std::string> target;
  bool all_versions = false;
  bool only_compatible = false;
  bool explain = false;
  bool matrix = false;
  bool json = false;
  std::optional<std::string> format;
};

enum class Format { table, markdown, json };

Result<Format> to_format(const VariantOptions& options) {
  if (options.json || options.format == "json") return Format::json;
  if (options.format != "markdown") return Format::table;
  if (options.matrix) return Format::markdown;
  return fail(Error(Errc::invalid_argument, "`--format markdown` is for matrices")
                  .with_hint("add `--matrix`, or take `table` or `json`"));
}

/// What is asked about: a folder, or a revision of a repository.
struct Asked {
  std::optional<RepoId> repo;
  ops::RevisionChoice choice;
};

Result<Asked> to_asked(const VariantOptions& options) {
  std::error_code code;
  if (std::filesystem::is_directory(options.kernel, code)) {
    if (options.revision.any() || options.all_versions)
      return fail(Error(Errc::invalid_argument, "a folder has no versions or revisions")
                      .with_hint("leave out `--version`, `--revision` and `--all-versions`"));
    return Asked{};
  }
  auto repo = RepoId::parse(options.kernel);
  if (!repo) return fail(std::move(repo).error());
  auto choice = to_choice(options.revision);
  if (!choice) return fail(std::move(choice).error());
  if (options.all_versions) choice->kind = ops::RevisionChoice::Kind::all_versions;
  return Asked{.repo = *repo, .choice = *choice};
}

Result<ops::RepositoryVariants> ask(const VariantOptions& options, const Target& target,
                                    const hub::Settings& settings, App& app) {
  auto asked = to_asked(options);
  if (!asked) return fail(std::move(asked).error());
  if (!asked->repo)
    return options.explain ? ops::explain_local_variants(options.kernel, target)
                           : ops::list_local_variants(options.kernel, target);
  auto* query = options.explain ? &ops::explain_variants : &ops::list_variants;
  return query({.settings = settings, .user_agent = app.user_agent()}, *asked->repo, asked->choice, target,
               app.stop_token());
}

Result<ops::KernelCoverage> ask_coverage(const VariantOptions& options, const hub::Settings& settings,
                                         App& app) {
  auto asked = to_asked(options);
  if (!asked) return fail(std::move(asked).error());
  if (!asked->repo) return ops::cover_folder(options.kernel);
  return ops::cover_repository({.settings = settings, .user_agent = app.user_agent()}, *asked->repo,
                               asked->choice, app.stop_token());
}

ExitCode run_matrix(const VariantOptions& options, Format format, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto coverage = ask_coverage(options, *settings, app);
  if (!coverage) return app.fail(coverage.error());
  auto* view = format == Format::json       ? &matrix_json
               : format == Format::markdown ? &matrix_markdown
                                            : &matrix_text;
  app.out().result(view({*coverage}));
  return coverage->coverage.tables.empty() ? ExitCode::no : ExitCode::ok;
}

ExitCode run_variants(const VariantOptions& options, App& app) {
  auto format = to_format(options);
  if (!format) return app.fail(format.error());
  if (options.matrix) return run_matrix(options, *format, app);
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  TargetFlags flags;
  if (options.target) flags.names = {*options.target};
  auto targets = select_targets(flags, nullptr, app);
  if (!targets) return app.fail(targets.error());
  auto variants = ask(options, targets->front(), *settings, app);
  if (!variants) return app.fail(variants.error());
  VariantsView view{.shown = options.only_compatible ? Shown::compatible : Shown::all,
                    .explained = options.explain ? Explained::yes : Explained::no};
  app.out().result(*format == Format::json ? variants_json(*variants, targets->front(), view)
                                           : variants_text(*variants, targets->front(), view));
  bool any = false;
  for (const auto& revision : variants->revisions)
    any |= !revision.decisions.empty() && revision.decisions.front().accepted();
  return any ? ExitCode::ok : ExitCode::no;
}

/// What is shown, and how.
void add_view_options(CLI::App& command, const std::shared_ptr<VariantOptions>& options) {
  auto* target = command.add_option("--target", options->target, "For this machine instead: key=value,…")
                     ->type_name("TARGET");
  auto* only =
      command.add_flag("--only-compatible", options->only_compatible, "Leave out variants that do not fit");
  auto* explain = command.add_flag("--explain", options->explain,
                                   "Also the nearest change that would help, if nothing fits well");
  command
      .add_flag("--matrix", options->matrix,
                "Which build every torch and backend would choose, with its GPU capabilities and the holes")
      ->excludes(target)
      ->excludes(only)
      ->excludes(explain);
  auto* format =
      command.add_option("--format", options->format, "table (default), json, or markdown for a matrix")
          ->type_name("FORMAT")
          ->check(CLI::IsMember({"table", "markdown", "json"}));
  command.add_flag("--json", options->json, "The same as --format json")->excludes(format);
}

}  // namespace

Command add_variants(CLI::App& root) {
  auto options = std::make_shared<VariantOptions>();
  auto* command =
      new_command(root, "variants", "Which build variants exist, and which of them fit",
                  "  kernels variants kernels-community/activation\n"
                  "  kernels variants acme/attention --version 2 --target os=linux,torch=2.11,cuda=13.0\n"
                  "  kernels variants acme/attention --explain\n"
                  "  kernels variants acme/attention --matrix --format markdown\n"
                  "  kernels variants ./activation --json\n");
  command->add_option("kernel", options->kernel, "A repository, or a folder with `build/`")
      ->required()
      ->type_name("REPO|PATH");
  add_revision_flags(*command, options->revision);
  command->add_flag("--all-versions", options->all_versions, "All versions")
      ->excludes("--version")
      ->excludes("--revision");
  add_view_options(*command, options);
  return {command, [options](App& app) { return run_variants(*options, app); }};
}

Command add_versions(CLI::App& root) {
  auto options = std::make_shared<VariantOptions>();
  options->all_versions = true;
  auto* command = new_command(root, "versions", "Which versions exist, with their variants",
                              "  kernels versions kernels-community/activation\n");
  command->add_option("repo_id", options->kernel, "The repository")->required()->type_name("REPO");
  command->add_option("--target", options->target, "For this machine instead: key=value,…")
      ->type_name("TARGET");
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) {
            auto status = run_variants(*options, app);
            return status == ExitCode::no ? ExitCode::ok : status;  // a list is a list, whatever fits
          }};
}

}  // namespace kernels::app
