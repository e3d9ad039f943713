#pragma once

#include <string>

// Debian 12 ships Catch2 2.13, Ubuntu 24.04 ships Catch2 3: one header for both.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
namespace kernels::test {
inline auto contains(const std::string& part) {
  return Catch::Matchers::ContainsSubstring(part);
}
using Approx = Catch::Approx;
}  // namespace kernels::test
#else
#include <catch2/catch.hpp>
namespace kernels::test {
inline auto contains(const std::string& part) {
  return Catch::Matchers::Contains(part);
}
using Approx = Catch::Detail::Approx;
}  // namespace kernels::test
#endif
