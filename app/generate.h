#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace kernels::app {

/// Texts made from the command tree alone, so that they cannot disagree with the parser.
std::string man_page(const CLI::App& root);
std::string bash_completion(const CLI::App& root);
std::string zsh_completion(const CLI::App& root);
std::string fish_completion(const CLI::App& root);

}  // namespace kernels::app
