#pragma once

#include <string>

#include "kernels/model/target.h"
#include "kernels/ops/query.h"

namespace kernels::app {

enum class Shown { all, compatible };
enum class Explained { no, yes };
struct VariantsView {
  Shown shown = Shown::all;
  Explained explained = Explained::no;  ///< the variants come from `explain_variants`
};

/// Lines of at most 100 columns; advice where there is some.
std::string variants_text(const ops::RepositoryVariants& variants, const Target& target,
                          const VariantsView& view);
/// The JSON of the Python program's command, with `schema`, `target` and `invalid` added; explained, also
/// `uncovered_capabilities` and `advice`. `kernels.variants/1`.
std::string variants_json(const ops::RepositoryVariants& variants, const Target& target,
                          const VariantsView& view);

std::string info_text(const ops::KernelInfo& info);
/// The keys of the Python program's command.
std::string info_json(const ops::KernelInfo& info);

}  // namespace kernels::app
