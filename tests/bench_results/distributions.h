#pragma once

#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace kernels::test {

/// What samples of times look like: a distribution and its true median.
struct Distribution {
  const char* name;
  double (*sample)(std::mt19937_64&);
  double median;
};

inline double uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
}
inline double normal(std::mt19937_64& random) {
  return std::sqrt(-2 * std::log(uniform(random))) * std::cos(2 * M_PI * uniform(random));
}

inline const std::array<Distribution, 6>& distributions() {
  static const std::array<Distribution, 6> all = {
      Distribution{"normal", [](std::mt19937_64& random) { return 100 + normal(random); }, 100},
      Distribution{"exponential", [](std::mt19937_64& random) { return 100 - std::log(uniform(random)); },
                   100 + std::log(2.0)},
      // Two states of a clock: the median is the quantile 5/6 of the faster one.
      Distribution{
          "bimodal",
          [](std::mt19937_64& random) { return (uniform(random) < 0.6 ? 100 : 110) + 0.5 * normal(random); },
          100 + 0.5 * 0.967421566},
      // A coarse clock: most samples are ties.
      Distribution{"ties",
                   [](std::mt19937_64& random) {
                     const double u = uniform(random);
                     return u < 0.3 ? 96.0 : u < 0.7 ? 100.0 : 104.0;
                   },
                   100},
      // Interruptions without bound: neither mean nor variance exists.
      Distribution{"heavy tail", [](std::mt19937_64& random) { return 99 + 1 / uniform(random); }, 101},
      Distribution{"log-normal",
                   [](std::mt19937_64& random) { return 100 * std::exp(0.02 * normal(random)); }, 100}};
  return all;
}

inline std::vector<double> draw(std::mt19937_64& random, const Distribution& from, std::size_t count,
                                double factor = 1) {
  std::vector<double> out(count);
  for (double& sample : out)
    sample = factor * from.sample(random);
  return out;
}

/// The most (fewest) of `rounds` that a share of `share` makes, five standard deviations of the count
/// included: wrong once in millions of runs.
inline double most_of(int rounds, double share) {
  return rounds * share + 5 * std::sqrt(rounds * share * (1 - share));
}
inline double fewest_of(int rounds, double share) {
  return rounds * share - 5 * std::sqrt(rounds * share * (1 - share));
}

}  // namespace kernels::test
