#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/bench/results.h"

namespace kernels::bench {

/// For each device of the new run the one of the old run that it is compared with, each at most once: the
/// same one (kind, name, UUID, index), else the one with its UUID, else its index, else its name, else its
/// kind, in the order in which they stand.
std::vector<std::optional<std::uint32_t>> pair_devices(const Results& before, const Results& after);

}  // namespace kernels::bench
