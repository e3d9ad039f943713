#pragma once

#include <span>
#include <string_view>

namespace kernels::fuzz {

/// One parser of hostile input. `run` must return for any bytes, and aborts the process when a promise about
/// what was accepted does not hold.
struct Target {
  const char* name;
  void (*run)(std::string_view bytes);
};

/// All targets. `tests/fuzz/corpus/<name>/` holds the seeds of each.
std::span<const Target> targets();

/// A promise that must hold for every input; without it the process aborts, which is a finding.
void require(bool holds, const char* promise);

}  // namespace kernels::fuzz
