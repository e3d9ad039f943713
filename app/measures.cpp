#include "measures.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace kernels::app {

namespace {

/// From here on a number is told with a power of ten: hostile files hold any.
constexpr double kLong = 1e7;

std::string percent(double ratio) {
  const double value = 100 * (ratio - 1);
  if (std::fabs(value) < 0.005) return "0.00";  // without a sign
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), std::fabs(value) < kLong ? "%+.2f" : "%+.3g", value);
  return buffer.data();
}

/// Four digits that count, as long as the value is below 1000.
std::string four_digits(double value) {
  return decimal(value, value < 10 ? 3 : value < 100 ? 2 : 1);
}

}  // namespace

std::string decimal(double value, int digits) {
  std::array<char, 48> buffer{};
  if (std::fabs(value) < kLong)
    std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  else
    std::snprintf(buffer.data(), buffer.size(), "%.4g", value);
  return buffer.data();
}

std::string time_text(double ns) {
  if (ns < 1e3) return four_digits(ns) + " ns";
  if (ns < 1e6) return four_digits(ns / 1e3) + " us";
  if (ns < 1e9) return four_digits(ns / 1e6) + " ms";
  return four_digits(ns / 1e9) + " s";
}

std::string change_text(const bench::Ratio& ratio) {
  return percent(ratio.value) + " % (" + percent(ratio.low) + " to " + percent(ratio.high) + ")";
}

std::string interval_text(const bench::Summary& summary) {
  if (!(summary.median > 0)) return "-";
  return percent(summary.median_low / summary.median) + " to " +
         percent(summary.median_high / summary.median) + " %";
}

std::string ratio_text(double ratio) {
  return decimal(ratio, ratio < 100 ? 2 : 0) + "x";
}

std::string rate_text(const bench::Timing& timing) {
  const bool has_flops = timing.flops > 0;
  const double rate = has_flops ? timing.tflop_per_s() : timing.gb_per_s();
  return decimal(rate, rate < 100 ? 2 : 0) + (has_flops ? " TFLOP/s" : " GB/s");
}

std::string speedup_text(const bench::Ratio& speedup) {
  return decimal(speedup.value, 2) + "x (" + decimal(speedup.low, 2) + " to " + decimal(speedup.high, 2) +
         ")";
}

std::string function_text(const bench::ResultRow& row) {
  return row.dtype ? row.function + " " + std::string(runtime::name_of(*row.dtype)) : row.function;
}

std::string share_text(double share) {
  return decimal(100 * share, 1) + " %";
}

}  // namespace kernels::app
