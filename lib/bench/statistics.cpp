#include "kernels/bench/statistics.h"

#include <algorithm>
#include <cmath>

namespace kernels::bench {
namespace {

constexpr double kConfidence = 0.95;

/// log of P(B = k) for B ~ binomial(n, 1/2); lgamma keeps it finite for any n.
double log_probability(std::size_t n, std::size_t k) {
  const auto size = static_cast<double>(n);
  const auto count = static_cast<double>(k);
  return std::lgamma(size + 1) - std::lgamma(count + 1) - std::lgamma(size - count + 1) -
         size * std::log(2.0);
}

}  // namespace

double quantile(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double share = position - static_cast<double>(below);
  return sorted[below] + share * (sorted[below + 1] - sorted[below]);
}

RankInterval median_ranks(std::size_t samples, double confidence) {
  if (samples == 0) return {0, 0};
  // The largest `low` for which both tails together stay within 1 - confidence.
  const double tail = (1 - confidence) / 2;
  double below = 0;
  std::size_t low = 0;
  for (std::size_t k = 0; k < samples / 2; ++k) {
    below += std::exp(log_probability(samples, k));
    if (below > tail) break;
    low = k + 1;
  }
  // P(B <= low - 1) is within the tail: order statistic `low` (1-based) bounds the median from below.
  if (low > 0) --low;
  return {low, samples - 1 - low};
}

Summary summarize(std::vector<double> samples) {
  Summary summary;
  if (samples.empty()) return summary;
  std::ranges::sort(samples);
  const RankInterval ranks = median_ranks(samples.size(), kConfidence);
  summary.samples = samples.size();
  summary.median = quantile(samples, 0.5);
  summary.min = samples.front();
  summary.p95 = quantile(samples, 0.95);
  if (summary.median > 0)
    summary.spread = (quantile(samples, 0.75) - quantile(samples, 0.25)) / summary.median;
  summary.median_low = samples[ranks.low];
  summary.median_high = samples[ranks.high];
  return summary;
}

}  // namespace kernels::bench
