#include "kernels/cache/import.h"

#include "commands.h"
#include "text.h"

namespace kernels::app {

namespace {

struct ImportOptions {
  std::string path;
  std::string repo;
  std::optional<std::uint64_t> version;
  std::optional<std::string> revision;
};

Result<cache::ImportRequest> to_request(const ImportOptions& options) {
  auto repo = RepoId::parse(options.repo);
  if (!repo) return fail(std::move(repo).error());
  if (options.revision)
    if (auto checked = parse_revision(*options.revision); !checked) return fail(std::move(checked).error());
  return cache::ImportRequest{
      .folder = options.path, .repo = *repo, .version = options.version, .revision = options.revision};
}

void show(App& app, const cache::ImportReport& report) {
  for (const auto& skipped : report.skipped)
    app.out().warning("left out `" + skipped.path + "`: " + skipped.reason);
  std::string refs;
  for (const auto& ref : report.refs)
    refs += (refs.empty() ? "" : ", ") + ref;
  app.out().result("Imported " + report.repo.str() + " at " + report.commit.str() + " (" + refs +
                   "): " + counted(report.variants.size(), "variant") + ", " + counted(report.files, "file") +
                   ", " + human_bytes(report.bytes) + "; " + counted(report.written_files, "file") +
                   " new in the cache\n");
  for (const auto& variant : report.variants)
    app.out().result("  " + variant + "\n");
}

ExitCode run_import(const ImportOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto request = to_request(options);
  if (!request) return app.fail(request.error());
  auto report = cache::import_folder(cache::Layout(settings->cache, settings->state), *request);
  if (!report) return app.fail(report.error());
  show(app, *report);
  return ExitCode::ok;
}

}  // namespace

Command add_import(CLI::App& root) {
  auto options = std::make_shared<ImportOptions>();
  auto* command = new_command(root, "import", "Take a folder of build variants into the cache",
                              "  kernels import ./activation --repo-id acme/activation --version 1\n");
  command->add_option("path", options->path, "Folder with `build/`, or one that holds variants")
      ->required()
      ->type_name("PATH");
  command->add_option("--repo-id", options->repo, "Name to import it under")
      ->required()
      ->type_name("ORG/NAME");
  auto* version = command
                      ->add_option("--version", options->version,
                                   "Version N, that is the branch vN; default: as "
                                   "metadata.json says")
                      ->type_name("N");
  command->add_option("--revision", options->revision, "A branch of another name")
      ->type_name("NAME")
      ->excludes(version);
  return {command, [options](App& app) { return run_import(*options, app); }};
}

}  // namespace kernels::app
