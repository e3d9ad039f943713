#include "commands.h"
#include "generate.h"

namespace kernels::app {

namespace {

/// The text that a generator makes of the whole command tree; the options of this run do not matter to it.
std::string generate(const std::string& what) {
  CLI::App root("", "kernels");
  GlobalOptions globals;
  build_commands(root, globals);
  if (what == "man") return man_page(root);
  if (what == "bash") return bash_completion(root);
  if (what == "zsh") return zsh_completion(root);
  return fish_completion(root);
}

}  // namespace

Command add_completion(CLI::App& root) {
  auto shell = std::make_shared<std::string>();
  auto* command = new_command(root, "completion", "Print the completion script for a shell",
                              "  kernels completion bash > /etc/bash_completion.d/kernels\n");
  command->add_option("shell", *shell, "The shell")
      ->required()
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return {command, [shell](App& app) {
            app.out().result(generate(*shell));
            return ExitCode::ok;
          }};
}

Command add_generate(CLI::App& root) {
  auto what = std::make_shared<std::string>();
  auto* command = new_command(root, "generate", "Print the man page or a completion script, as checked in",
                              "  kernels generate man > man/kernels.1\n");
  command->group("");  // for this project's own build
  command->add_option("what", *what, "What to print")
      ->required()
      ->type_name("WHAT")
      ->check(CLI::IsMember({"man", "bash", "zsh", "fish"}));
  return {command, [what](App& app) {
            app.out().result(generate(*what));
            return ExitCode::ok;
          }};
}

}  // namespace kernels::app
