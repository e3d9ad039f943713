#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace kernels::test {

/// The seed of this run's random inputs: KERNELS_TEST_SEED, or a new one. It is printed, so that a failure
/// can be run again.
inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* text = std::getenv("KERNELS_TEST_SEED");
    const std::uint64_t chosen = text != nullptr ? std::strtoull(text, nullptr, 0) : std::random_device()();
    std::fprintf(stderr, "KERNELS_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    return chosen;
  }();
  return value;
}

}  // namespace kernels::test
