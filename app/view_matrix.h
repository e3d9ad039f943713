#pragma once

#include <string>
#include <vector>

#include "kernels/ops/coverage.h"

namespace kernels::app {

/// One table for each version and platform, within 100 columns, with the legend at the end.
std::string matrix_text(const std::vector<ops::KernelCoverage>& kernels);
/// The same tables in Markdown, for an issue or a model card.
std::string matrix_markdown(const std::vector<ops::KernelCoverage>& kernels);
/// Schema `kernels.matrix/1`: kernels, their tables, and the cells of a table as a flat list.
std::string matrix_json(const std::vector<ops::KernelCoverage>& kernels);

}  // namespace kernels::app
