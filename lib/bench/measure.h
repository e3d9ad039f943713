#pragma once

#include "check.h"

namespace kernels::bench {

struct MeasureOptions {
  Sizes sizes;
  double budget_seconds = 1;
};

/// Times a function that was found right. Samples of the kernel and of a plain copy of the same traffic take
/// turns, so that both see the same clocks. Errors  unsupported: no room; no_match: the function launches
/// nothing on the stream it was given; io.
Result<Timing> measure_cpu(const CheckContext& context, const MeasureOptions& options, Random& random);
Result<Timing> measure_cuda(const CheckContext& context, const MeasureOptions& options, Random& random);

/// "Intel Xeon …" from /proc/cpuinfo, or "CPU".
std::string cpu_name();

}  // namespace kernels::bench
