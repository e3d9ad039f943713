#pragma once

// The kernels of a lock that can be measured here. Not part of the public interface.

#include <optional>
#include <stop_token>
#include <vector>

#include "kernels/ops/bench.h"

namespace kernels::ops {

/// A kernel of a lock: its variant for a target, or what keeps that from being measured.
struct ReadyKernel {
  std::optional<BenchTarget> target;
  std::optional<Error> problem;
};

/// In the order of the lock. Errors  io; interrupted.
Result<std::vector<ReadyKernel>> ready_kernels(const cache::Layout& layout, const LockFiles& files,
                                               const Target& target, const std::stop_token& stop);

}  // namespace kernels::ops
