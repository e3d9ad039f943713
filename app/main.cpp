#include <exception>
#include <string>

#include <signal.h>

#include "commands.h"

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

ExitCode parse_and_run(int argc, char** argv) {
  CLI::App root("", "kernels");
  GlobalOptions globals;
  auto commands = build_commands(root, globals);
  try {
    root.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help and --version
    root.exit(success);
    return ExitCode::ok;
  } catch (const CLI::ParseError& error) {
    Reporter reporter(Verbosity::normal);
    reporter.error(
        kernels::Error(kernels::Errc::invalid_argument, error.what())
            .with_hint("`kernels --help` lists the commands, `kernels COMMAND --help` their options"));
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
