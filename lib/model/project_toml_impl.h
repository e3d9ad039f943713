#pragma once

// The tables of a project file, for those who read it and those who change it.

#include <string>
#include <string_view>

#include "kernels/model/project.h"

#include "toml_impl.h"

namespace kernels::detail {

/// Lines and columns of its nodes are those of the text, in bytes. Errors  invalid_argument: not TOML.
Result<toml::table> parse_project_toml(std::string_view text, const std::string& file);

/// The table that holds `dependencies`, `layers` and so on: in `root`, or an empty one.
/// Errors  invalid_argument: `tool.kernels` is no table.
Result<const toml::table*> own_tables(const toml::table& root, ProjectFormat format, const std::string& file);

}  // namespace kernels::detail
