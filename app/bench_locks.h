#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/ops/bench_locks.h"

#include "app.h"
#include "bench_run.h"

namespace kernels::app {

/// Two locks that are to be compared.
struct LockPair {
  ops::LockFiles before;
  ops::LockFiles after;
};

/// The two files as locks; nothing if they are results of `bench`, going by what they hold.
/// Errors  invalid_argument: only one of them is a lock, or there is only one, or a lock is damaged.
Result<std::optional<LockPair>> open_locks(const std::vector<std::string>& files);

/// Both versions of each kernel that changed, measured in turns.
struct MeasuredLocks {
  ops::LockChanges changes;
  bench::Results before;
  bench::Results after;  ///< also of kernels that were added
};
/// Errors  as of `ops::compare_locks` and `bench_contest`.
Result<MeasuredLocks> measure_locks(const LockPair& locks, const Target& machine,
                                    const std::vector<Device>& devices, bench::BenchOptions options,
                                    App& app);

}  // namespace kernels::app
