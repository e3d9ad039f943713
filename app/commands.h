#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include "app.h"

namespace kernels::app {

/// One command: where it stands in the parser, and what runs when it was chosen. Parsing selects; nothing
/// runs inside a callback of the parser.
struct Command {
  CLI::App* parser = nullptr;
  std::function<ExitCode(App&)> run;
};

/// Each adds one command to the parser, with options that live as long as the returned function.
Command add_import(CLI::App& root);
Command add_serve(CLI::App& root);
Command add_lock(CLI::App& root);
Command add_download(CLI::App& root);
Command add_check(CLI::App& root);
Command add_doctor(CLI::App& root);
Command add_versions(CLI::App& root);
Command add_variants(CLI::App& root);
Command add_verify_signature(CLI::App& root);
Command add_verify_blob(CLI::App& root);
Command add_info(CLI::App& root);
Command add_inspect(CLI::App& root);
std::vector<Command> add_bundle(CLI::App& root);
std::vector<Command> add_cache(CLI::App& root);
std::vector<Command> add_bench(CLI::App& root);
Command add_completion(CLI::App& root);
Command add_generate(CLI::App& root);

/// The whole command tree. `globals` receives the flags that every command takes.
std::vector<Command> build_commands(CLI::App& root, GlobalOptions& globals);

/// A command with its one-line description and examples, which help, man page and tests show.
CLI::App* new_command(CLI::App& root, const std::string& name, const std::string& description,
                      const std::string& examples);

}  // namespace kernels::app
