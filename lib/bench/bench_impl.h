#pragma once

// What all that is measured has in common: how a library is asked for, and what is known of it beforehand.

#include <filesystem>

#include "kernels/bench/bench.h"
#include "kernels/bench/case.h"

namespace kernels::bench {

/// A case of a library without function, data type and shapes.
CaseRequest request_for(const std::filesystem::path& library, const BenchOptions& options);

/// A report without rows. Errors  corrupt, io: it cannot be told how to call the library.
Result<BenchReport> report_for(const std::filesystem::path& library);

}  // namespace kernels::bench
