#pragma once

#include <span>
#include <vector>

// Statistics of timing samples. Samples are never averaged over outliers: medians and order statistics only.

namespace kernels::bench {

/// What is kept of a set of samples; all times in the unit of the samples. All zero for no samples.
struct Summary {
  std::size_t samples = 0;
  double median = 0;
  double min = 0;
  double p95 = 0;
  /// Distance between the quartiles as a share of the median: 0.02 is 2 %.
  double spread = 0;
  /// An interval that holds the true median with 95 % confidence; equal to the extremes for few samples.
  double median_low = 0;
  double median_high = 0;
};

/// The value below which the share `q` (0 to 1) of the samples lies, by linear interpolation between the two
/// nearest (definition 7 of Hyndman & Fan 1996). `sorted` ascending and not empty.
double quantile(std::span<const double> sorted, double q);

/// Ranks (0-based, both included) of the order statistics that enclose the median with the given confidence,
/// without assuming a distribution: the count below the median is binomial(n, 1/2). For too few samples the
/// interval is the whole range.
struct RankInterval {
  std::size_t low;
  std::size_t high;
};
RankInterval median_ranks(std::size_t samples, double confidence);

Summary summarize(std::vector<double> samples);

}  // namespace kernels::bench
