#include <chrono>

#include "commands.h"
#include "view_bundle.h"

namespace kernels::app {

namespace {

struct BundleOptions {
  std::string file;
  bool files = false;
  bool json = false;
};

ExitCode run_ls(const BundleOptions& options, App& app) {
  auto contents = ops::list_bundle(options.file);
  if (!contents) return app.fail(contents.error());
  auto detail = options.files ? BundleDetail::files : BundleDetail::variants;
  app.out().result(options.json ? bundle_contents_json(*contents, BundleReading::index)
                                : bundle_contents_text(*contents, detail));
  return ExitCode::ok;
}

ExitCode run_verify(const BundleOptions& options, App& app) {
  auto begin = std::chrono::steady_clock::now();
  auto contents = ops::verify_bundle(options.file, app.events(), app.stop_token());
  if (!contents) return app.fail(contents.error());
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  app.out().result(options.json ? bundle_contents_json(*contents, BundleReading::verified)
                                : bundle_verified_text(*contents, took));
  return ExitCode::ok;
}

CLI::App* add_one(CLI::App& parent, const std::string& name, const std::string& description,
                  const std::string& examples, BundleOptions& options) {
  auto* command = new_command(parent, name, description, examples);
  command->add_option("file", options.file, "The bundle")->required()->type_name("FILE.tar.zst");
  command->add_flag("--json", options.json, "Print the result as JSON");
  return command;
}

}  // namespace

std::vector<Command> add_bundle(CLI::App& root) {
  auto options = std::make_shared<BundleOptions>();
  auto* command =
      new_command(root, "bundle", "Look into a file that `download --bundle` made, without unpacking it",
                  "  kernels bundle ls kernels.tar.zst\n"
                  "  kernels bundle verify kernels.tar.zst\n");
  command->require_subcommand(1);
  auto* ls = add_one(*command, "ls", "List the kernels, variants and files of a bundle",
                     "  kernels bundle ls kernels.tar.zst --files\n", *options);
  ls->add_flag("--files", options->files, "A row for each file");
  auto* verify = add_one(*command, "verify", "Read a whole bundle and hold every byte against its hash",
                         "  kernels bundle verify kernels.tar.zst\n", *options);
  return {{ls, [options](App& app) { return run_ls(*options, app); }},
          {verify, [options](App& app) { return run_verify(*options, app); }}};
}

}  // namespace kernels::app
