#include <algorithm>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>

#include "kernels/base/nearest.h"

#include "commands.h"
#include "version.h"

namespace {

using namespace kernels::app;

ExitCode run_selected(const CLI::App& root, const std::vector<Command>& commands,
                      const GlobalOptions& globals) {
  App app(globals);
  for (const auto& command : commands)
    if (command.parser->parsed()) return command.run(app);
  app.out().result(root.help());
  return ExitCode::usage;
}

/// What the parser said, and a better guess where the first word is no command.
kernels::Error usage_error(const CLI::ParseError& error, const CLI::App& root, int argc, char** argv) {
  std::vector<std::string> names;
  for (const auto* command : root.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  std::string first = argc > 1 ? argv[1] : "";
  bool is_word = !first.empty() && first[0] != '-' && std::ranges::find(names, first) == names.end();
  if (!is_word)
    return kernels::Error(kernels::Errc::invalid_argument, error.what())
        .with_hint("`kernels COMMAND --help` lists the options of a command");
  auto guess = kernels::nearest(first, names);
  return kernels::Error(kernels::Errc::invalid_argument, "there is no command `" + first + "`")
      .with_hint(guess ? "did you mean `kernels " + *guess + "`?" : "`kernels --help` lists the commands");
}

/// Build systems ask for it at every start; it needs no parser.
bool asks_for_version(std::span<char* const> arguments) {
  return arguments.size() == 2 &&
         (arguments[1] == std::string_view("--version") || arguments[1] == std::string_view("-V"));
}

ExitCode parse_and_run(int argc, char** argv) {
  if (asks_for_version({argv, static_cast<std::size_t>(argc)})) {
    Reporter(Verbosity::normal).result(std::string("kernels ") + kVersion + "\n");
    return ExitCode::ok;
  }
  CLI::App root("", "kernels");
  GlobalOptions globals;
  auto commands = build_commands(root, globals);
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help and --version
    root.exit(success);
    return ExitCode::ok;
  } catch (const CLI::ParseError& error) {
    Reporter(Verbosity::normal).error(usage_error(error, root, argc, argv));
    return ExitCode::usage;
  }
  return run_selected(root, commands, globals);
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(parse_and_run(argc, argv));
  } catch (const std::exception& error) {
    Reporter(Verbosity::normal)
        .error(kernels::Error(kernels::Errc::io, std::string("this should not happen: ") + error.what())
                   .with_hint("please report it with the command that you ran"));
    return static_cast<int>(ExitCode::machine);
  }
}
