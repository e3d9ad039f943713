#pragma once

#include <string>

#include "kernels/model/target.h"
#include "kernels/ops/query.h"

namespace kernels::app {

enum class Shown { all, compatible };

std::string variants_text(const ops::RepositoryVariants& variants, const Target& target, Shown shown);
/// The JSON of the Python program's command, with `schema`, `target` and `invalid` added.
/// `kernels.variants/1`.
std::string variants_json(const ops::RepositoryVariants& variants, const Target& target, Shown shown);

std::string info_text(const ops::KernelInfo& info);
/// The keys of the Python program's command.
std::string info_json(const ops::KernelInfo& info);

}  // namespace kernels::app
