#include "commands.h"

#include "version.h"

namespace kernels::app {

CLI::App* new_command(CLI::App& root, const std::string& name, const std::string& description,
                      const std::string& examples) {
  auto* command = root.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  command->get_formatter()->column_width(34);
  return command;
}

static void add_globals(CLI::App& root, GlobalOptions& globals) {
  root.add_flag("-q,--quiet", globals.quiet, "Only results, warnings and errors");
  root.add_flag("-v,--verbose", globals.verbose, "Say what is done; twice: every request");
  root.add_flag("--offline", globals.offline, "Make no request; the same as HF_HUB_OFFLINE=1");
  root.add_option("--cache", globals.cache, "The cache to use instead of HF_HUB_CACHE")->type_name("DIR");
  root.add_option("--endpoint", globals.endpoint, "The Hub to use instead of HF_ENDPOINT")->type_name("URL");
}

std::vector<Command> build_commands(CLI::App& root, GlobalOptions& globals) {
  root.description("Manage prebuilt compute kernels from the Hugging Face Hub");
  root.set_version_flag("-V,--version", std::string("kernels ") + kVersion, "Print the version");
  root.set_help_flag("-h,--help", "Print this help");
  root.require_subcommand(0, 1);
  root.fallthrough();
  root.get_formatter()->column_width(34);
  root.footer(
      "Exit status: 0 done, 1 the answer is no, 2 usage or a bad project file, 3 the Hub or the network,\n"
      "4 integrity or trust, 5 this machine, 130 interrupted.");
  add_globals(root, globals);
  std::vector<Command> commands = {add_lock(root),        add_download(root), add_check(root),
                                   add_versions(root),    add_variants(root), add_info(root),
                                   add_inspect(root),     add_doctor(root),   add_verify_signature(root),
                                   add_verify_blob(root), add_import(root),   add_serve(root)};
  for (auto& command : add_bundle(root))
    commands.push_back(std::move(command));
  for (auto& command : add_bench(root))
    commands.push_back(std::move(command));
  for (auto& command : add_cache(root))
    commands.push_back(std::move(command));
  commands.push_back(add_completion(root));
  commands.push_back(add_generate(root));
  return commands;
}

}  // namespace kernels::app
