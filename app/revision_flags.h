#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "kernels/base/error.h"
#include "kernels/ops/query.h"

namespace kernels::app {

/// `--version` and `--revision` of commands that look at one revision of a repository.
struct RevisionFlags {
  std::optional<std::string> version;
  std::optional<std::string> revision;
  bool any() const { return version || revision; }
};

void add_revision_flags(CLI::App& command, RevisionFlags& flags);

/// The highest version if neither flag is given. Errors  invalid_argument.
Result<ops::RevisionChoice> to_choice(const RevisionFlags& flags);

}  // namespace kernels::app
