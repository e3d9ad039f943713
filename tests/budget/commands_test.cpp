// Rules about the command tree, and that what is checked in was made from it.

#include "commands.h"

#include <functional>

#include "kernels/base/file.h"

#include "generate.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::app;

namespace {

struct Tree {
  CLI::App root;
  GlobalOptions globals;
  std::vector<Command> commands = build_commands(root, globals);
};

void each_command(const CLI::App& command, const std::function<void(const CLI::App&)>& visit) {
  visit(command);
  for (const auto* child : command.get_subcommands([](const CLI::App*) { return true; }))
    each_command(*child, visit);
}

std::string checked_in(const char* name) {
  auto text = read_file(std::filesystem::path(KERNELS_TEST_SOURCE) / name);
  return text ? *text : describe(text.error());
}

}  // namespace

TEST_CASE("commands: every option says what it does, every value has a type name", "[app]") {
  Tree tree;
  each_command(tree.root, [](const CLI::App& command) {
    for (const auto* option : command.get_options()) {
      CAPTURE(command.get_name(), option->get_name());
      CHECK_FALSE(option->get_description().empty());
      // CLI11 itself calls a value without a name TEXT, INT, …: words for the programmer.
      if (option->get_expected_max() > 0)
        for (const char* generic : {"", "TEXT", "INT", "UINT", "FLOAT", "BOOLEAN"})
          CHECK(option->get_type_name() != generic);
    }
  });
}

TEST_CASE("commands: every command has a description and, if it runs, an example", "[app]") {
  Tree tree;
  for (const auto& command : tree.commands) {
    CAPTURE(command.parser->get_name());
    CHECK_FALSE(command.parser->get_description().empty());
    if (!command.parser->get_group().empty())
      CHECK(command.parser->get_footer().find("kernels ") != std::string::npos);
    CHECK(command.run);
  }
}

TEST_CASE("commands: no letter means two things in one command", "[app]") {
  Tree tree;
  each_command(tree.root, [](const CLI::App& command) {
    std::vector<std::string> letters;
    for (const auto* option : command.get_options())
      for (const auto& letter : option->get_snames()) {
        CAPTURE(command.get_name(), letter);
        CHECK(std::ranges::count(letters, letter) == 0);
        letters.push_back(letter);
      }
  });
}

TEST_CASE("commands: the man page and the completions that are checked in are those of the program",
          "[app]") {
  Tree tree;
  tree.root.name("kernels");
  // `make generated` writes them.
  CHECK(checked_in("man/kernels.1") == man_page(tree.root));
  CHECK(checked_in("completions/kernels.bash") == bash_completion(tree.root));
  CHECK(checked_in("completions/_kernels") == zsh_completion(tree.root));
  CHECK(checked_in("completions/kernels.fish") == fish_completion(tree.root));
}
