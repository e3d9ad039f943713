#pragma once

#include <optional>

#include "kernels/base/file.h"

namespace kernels::bench {

/// The processor's counters of cycles and instructions, of this thread and of all that it starts after the
/// counters were opened, in user mode. Many virtual machines and containers have none. Threads  one.
class CpuCounters {
 public:
  struct Counts {
    double cycles = 0;
    double instructions = 0;
  };

  /// Nothing where the machine has no such counters, or does not let us.
  static std::optional<CpuCounters> open();
  /// Two other events, as of perf_event_open(2): what there is in every machine.
  static std::optional<CpuCounters> open(std::uint32_t type, std::uint64_t first, std::uint64_t second);

  /// Since they were opened; scaled up where the processor counted only a part of the time.
  std::optional<Counts> read() const;

 private:
  CpuCounters(UniqueFd cycles, UniqueFd instructions)
      : cycles_(std::move(cycles)), instructions_(std::move(instructions)) {}
  UniqueFd cycles_;
  UniqueFd instructions_;
};

}  // namespace kernels::bench
