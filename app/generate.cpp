#include "generate.h"

#include <algorithm>
#include <functional>

namespace kernels::app {

namespace {

std::vector<const CLI::App*> visible_commands(const CLI::App& parent) {
  std::vector<const CLI::App*> out;
  for (const auto* command : parent.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) out.push_back(command);
  return out;
}

/// Options with dashes; positional ones are told apart by having no long or short name.
std::vector<const CLI::Option*> flags_of(const CLI::App& command) {
  std::vector<const CLI::Option*> out;
  for (const auto* option : command.get_options())
    if (!option->get_lnames().empty() || !option->get_snames().empty()) out.push_back(option);
  return out;
}

std::vector<const CLI::Option*> positionals_of(const CLI::App& command) {
  std::vector<const CLI::Option*> out;
  for (const auto* option : command.get_options())
    if (option->get_lnames().empty() && option->get_snames().empty()) out.push_back(option);
  return out;
}

bool takes_value(const CLI::Option& option) {
  return option.get_expected_max() > 0;
}

std::string spelled(const CLI::Option& option) {
  std::string out;
  for (const auto& name : option.get_snames())
    out += (out.empty() ? "" : ", ") + ("-" + name);
  for (const auto& name : option.get_lnames())
    out += (out.empty() ? "" : ", ") + ("--" + name);
  return out;
}

// --- man ---

std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string man_options(const CLI::App& command) {
  std::string out;
  for (const auto* option : positionals_of(command))
    out += ".TP\n\\fI" + roff(option->get_type_name()) + "\\fR\n" + roff(option->get_description()) + "\n";
  for (const auto* option : flags_of(command)) {
    out += ".TP\n\\fB" + roff(spelled(*option)) + "\\fR";
    if (takes_value(*option)) out += " \\fI" + roff(option->get_type_name()) + "\\fR";
    out += "\n" + roff(option->get_description()) + "\n";
  }
  return out;
}

std::string man_footer(const std::string& footer) {
  return ".PP\n.nf\n" + roff(footer) + (footer.ends_with('\n') ? "" : "\n") + ".fi\n";
}

std::string man_command(const CLI::App& command, const std::string& prefix) {
  std::string name = prefix + " " + command.get_name();
  std::string out =
      ".SS \"" + roff(name) + "\"\n" + roff(command.get_description()) + ".\n" + man_options(command);
  if (!command.get_footer().empty()) out += man_footer(command.get_footer());
  for (const auto* child : visible_commands(command))
    out += man_command(*child, name);
  return out;
}

// --- completions ---

/// Calls `visit` with every command below `root`, and the words that lead to it.
void each_command(const CLI::App& root, const std::string& words,
                  const std::function<void(const CLI::App&, const std::string&)>& visit) {
  visit(root, words);
  for (const auto* child : visible_commands(root))
    each_command(*child, words + (words.empty() ? "" : " ") + child->get_name(), visit);
}

std::string words_for(const CLI::App& command, const CLI::App& root) {
  std::string out;
  for (const auto* child : visible_commands(command))
    out += child->get_name() + " ";
  for (const auto* option : flags_of(command))
    for (const auto& name : option->get_lnames())
      out += "--" + name + " ";
  if (&command != &root)
    for (const auto* option : flags_of(root))
      for (const auto& name : option->get_lnames())
        if (name != "help" && name != "version") out += "--" + name + " ";
  if (command.get_name() == "completion") out += "bash zsh fish ";
  out.pop_back();
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

}  // namespace

std::string man_page(const CLI::App& root) {
  std::string out = ".TH KERNELS 1\n.SH NAME\nkernels \\- " + roff(root.get_description()) +
                    "\n.SH SYNOPSIS\n.B kernels\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR …\n.SH OPTIONS\n" +
                    man_options(root) + ".SH COMMANDS\n";
  for (const auto* command : visible_commands(root))
    out += man_command(*command, "kernels");
  return out + ".SH EXIT STATUS\n" + roff(root.get_footer()) +
         "\n.SH ENVIRONMENT\n"
         "HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, KERNELS_CACHE, HF_HUB_OFFLINE,\n"
         "HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT, HF_HUB_DISABLE_SYMLINKS, HF_HUB_DISABLE_TELEMETRY,\n"
         "HF_HUB_DISABLE_PROGRESS_BARS, NO_COLOR: as for the Python package huggingface_hub.\n"
         "SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE: a file with the authorities to trust.\n"
         "KERNELS_ALLOW_HTTP: 1 to ask another machine without encryption, such as a mirror.\n"
         "KERNELS_HTTP_RETRIES: how often a failed request is tried again (default 5).\n"
         "KERNELS_SERVE_TOKEN: the bearer token that `kernels serve` demands.\n"
         ".SH FILES\nkernels.toml, pyproject.toml, kernels.lock, kernels.sum\n";
}

std::string bash_completion(const CLI::App& root) {
  std::string cases;
  each_command(root, "", [&](const CLI::App& command, const std::string& words) {
    cases += "    " + quoted(words) + ") options=" + quoted(words_for(command, root)) + " ;;\n";
  });
  std::string known;
  each_command(root, "", [&](const CLI::App&, const std::string& words) {
    if (!words.empty()) known += (known.empty() ? "" : "|") + quoted(words);
  });
  return "# bash completion for kernels\n_kernels() {\n  local word words='' options i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n"
         "    case \"${words:+$words }$word\" in\n      " +
         known + ") words=\"${words:+$words }$word\" ;;\n    esac\n  done\n  case \"$words\" in\n" + cases +
         "  esac\n  COMPREPLY=($(compgen -W \"$options\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
         "complete -o default -F _kernels kernels\n";
}

std::string zsh_completion(const CLI::App& root) {
  std::string out =
      "#compdef kernels\n_kernels() {\n  local words_so_far='' word\n"
      "  for word in ${words[2,CURRENT-1]}; do\n    case \"${words_so_far:+$words_so_far }$word\" in\n";
  std::string known;
  std::string cases;
  each_command(root, "", [&](const CLI::App& command, const std::string& words) {
    if (!words.empty()) known += (known.empty() ? "" : "|") + quoted(words);
    cases += "    " + quoted(words) + ") compadd -- " + words_for(command, root) + " ;;\n";
  });
  return out + "      " + known +
         ") words_so_far=\"${words_so_far:+$words_so_far }$word\" ;;\n    esac\n  done\n" +
         "  case \"$words_so_far\" in\n" + cases + "  esac\n  _files\n}\ncompdef _kernels kernels\n";
}

std::string fish_completion(const CLI::App& root) {
  std::string out = "# fish completion for kernels\n";
  for (const auto* option : flags_of(root))
    for (const auto& name : option->get_lnames())
      out += "complete -c kernels -l " + name + " -d " + quoted(option->get_description()) + "\n";
  for (const auto* command : visible_commands(root)) {
    out += "complete -c kernels -n __fish_use_subcommand -a " + command->get_name() + " -d " +
           quoted(command->get_description()) + "\n";
    std::string condition = " -n '__fish_seen_subcommand_from " + command->get_name() + "'";
    for (const auto* child : visible_commands(*command))
      out += "complete -c kernels" + condition + " -a " + child->get_name() + " -d " +
             quoted(child->get_description()) + "\n";
    for (const auto* option : flags_of(*command))
      for (const auto& name : option->get_lnames())
        out += "complete -c kernels" + condition + " -l " + name + (takes_value(*option) ? " -r" : "") +
               " -d " + quoted(option->get_description()) + "\n";
  }
  return out + "complete -c kernels -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n";
}

}  // namespace kernels::app
