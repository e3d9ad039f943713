#include <chrono>
#include <filesystem>

#include "kernels/base/joined.h"
#include "kernels/cache/import.h"
#include "kernels/ops/bundle.h"

#include "commands.h"
#include "text.h"
#include "trust_flags.h"
#include "view_bundle.h"

namespace kernels::app {

namespace {

struct ImportOptions {
  std::string path;
  std::optional<std::string> repo;
  std::optional<std::uint64_t> version;
  std::optional<std::string> revision;
  TrustFlags trust;
  bool json = false;
};

Result<cache::ImportRequest> to_request(const ImportOptions& options) {
  if (!options.repo)
    return fail(Error(Errc::invalid_argument, "`--repo-id` is required to import a folder")
                    .with_hint("name it: `--repo-id ORG/NAME`; a bundle has its names inside"));
  if (options.json)
    return fail(
        Error(Errc::invalid_argument, "`--json` is for bundles, and `" + options.path + "` is a folder")
            .with_hint("leave it out"));
  auto repo = RepoId::parse(*options.repo);
  if (!repo) return fail(std::move(repo).error());
  if (options.revision)
    if (auto checked = parse_revision(*options.revision); !checked) return fail(std::move(checked).error());
  return cache::ImportRequest{
      .folder = options.path, .repo = *repo, .version = options.version, .revision = options.revision};
}

void show(App& app, const cache::ImportReport& report) {
  for (const auto& skipped : report.skipped)
    app.out().warning("left out `" + skipped.path + "`: " + skipped.reason);
  app.out().result("Imported " + report.repo.str() + " at " + report.commit.str() + " (" +
                   joined(report.refs) + "): " + counted(report.variants.size(), "variant") + ", " +
                   counted(report.files, "file") + ", " + human_bytes(report.bytes) + "; " +
                   counted(report.written_files, "file") + " new in the cache\n");
  for (const auto& variant : report.variants)
    app.out().result("  " + variant + "\n");
}

ExitCode import_bundle(const ImportOptions& options, const hub::Settings& settings, App& app) {
  if (options.repo || options.version || options.revision)
    return app.fail(
        Error(Errc::invalid_argument, "`" + options.path + "` is a bundle, which has its names inside")
            .with_hint("leave out `--repo-id`, `--version` and `--revision`"));
  auto begin = std::chrono::steady_clock::now();
  auto rules = signature_rules(options.trust, {});
  if (!rules) return app.fail(rules.error());
  ops::BundleImportOptions how{.links = settings.use_symlinks ? cache::Links::symlinks : cache::Links::copies,
                               .signatures = *rules};
  auto report = ops::import_bundle(cache::Layout(settings.cache, settings.state), options.path, how,
                                   app.events(), app.stop_token());
  if (!report) return app.fail(report.error());
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  app.out().result(options.json ? bundle_import_json(*report) : bundle_import_text(*report, took));
  return ExitCode::ok;
}

ExitCode run_import(const ImportOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  std::error_code ignored;
  if (!std::filesystem::exists(options.path, ignored))
    return app.fail(Error(Errc::not_found, "there is no file or folder `" + options.path + "`"));
  if (!std::filesystem::is_directory(options.path, ignored)) return import_bundle(options, *settings, app);
  auto request = to_request(options);
  if (!request) return app.fail(request.error());
  auto rules = signature_rules(options.trust, {});
  if (!rules) return app.fail(rules.error());
  auto signatures = ops::verify_folder(options.path, request->repo, *rules);
  if (!signatures) return app.fail(signatures.error());
  for (const auto& signature : *signatures)
    if (signature.result.outcome != verify::Outcome::signature_bundle_missing && !signature.is_good())
      app.out().warning(signature.complaint());
  auto report = cache::import_folder(cache::Layout(settings->cache, settings->state), *request);
  if (!report) return app.fail(report.error());
  show(app, *report);
  return ExitCode::ok;
}

}  // namespace

Command add_import(CLI::App& root) {
  auto options = std::make_shared<ImportOptions>();
  auto* command = new_command(root, "import", "Take a bundle, or a folder of build variants, into the cache",
                              "  kernels import kernels.tar.zst\n"
                              "  kernels import ./activation --repo-id acme/activation --version 1\n");
  command
      ->add_option(
          "path", options->path,
          "A file that `kernels download --bundle` made; or a folder with `build/`, or one that holds "
          "variants")
      ->required()
      ->type_name("PATH");
  command->add_option("--repo-id", options->repo, "Folder: the name to import it under")
      ->type_name("ORG/NAME");
  auto* version = command
                      ->add_option("--version", options->version,
                                   "Folder: version N, that is the branch vN; default: as metadata.json says")
                      ->type_name("N");
  command->add_option("--revision", options->revision, "Folder: a branch of another name")
      ->type_name("NAME")
      ->excludes(version);
  add_trust_flags(*command, options->trust);
  command->add_flag("--json", options->json, "Bundle: print the result as JSON");
  return {command, [options](App& app) { return run_import(*options, app); }};
}

}  // namespace kernels::app
