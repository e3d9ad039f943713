#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/error.h"
#include "kernels/bench/case.h"

#include "operands.h"

namespace kernels::bench {

/// What one comparison with the reference found. `verdict` is right, wrong or raised.
struct CheckOutcome {
  Verdict verdict = Verdict::right;
  std::string reason;
  double max_error = 0;
  double worst_share = 0;
  std::uint64_t checked = 0;
};

struct CheckContext {
  const runtime::Runner* library;
  const FunctionSpec* function;
  Tolerance tolerance;
  OperandOptions options;
};

/// Calls the function once on fresh random inputs with poisoned outputs and compares all it may and may not
/// have written: outputs with the reference (large ones on a sample of rows, where rows are independent),
/// inputs, gaps between rows and guards with what was there. Errors  unsupported when the shape does not fit
/// into memory; io; corrupt.
Result<CheckOutcome> check(const CheckContext& context, const Sizes& sizes, Random& random);

}  // namespace kernels::bench
