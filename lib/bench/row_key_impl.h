#pragma once

// What makes two rows of different runs the same row, and what comparing and merging ask of both.

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

#include "kernels/bench/results.h"

namespace kernels::bench {

/// Kernel, function, workload, data type, sizes. Refers into the run.
using RowKey = std::tuple<std::string_view, std::string_view, std::string_view, std::optional<DType>, Sizes>;
inline RowKey row_key(const Results& run, const ResultRow& row) {
  return {run.subjects[row.subject].kernel, row.function, row.workload, row.dtype, row.sizes};
}

/// What tells rows of one key apart: layer, runner, variant.
using SubjectKey = std::tuple<std::string_view, std::string_view, std::string_view>;
inline SubjectKey subject_key(const Results& run, const ResultRow& row) {
  const auto& subject = run.subjects[row.subject];
  return {subject.layer, subject.runner, subject.variant};
}

/// The samples of `cold` as a summary, if there are any.
inline std::optional<Summary> cold_summary(const ResultRow& row) {
  const auto* cold = row.result.timing ? row.result.timing->find(SeriesKind::cold) : nullptr;
  if (cold == nullptr) return std::nullopt;
  return cold->summary();
}

/// Whether a share is one: NaN is none.
inline bool is_threshold(double share) {
  return share >= 0 && share < 1;
}

}  // namespace kernels::bench
