#pragma once

#include <string>

#include "kernels/bench/results.h"

// Measured values as people read them.

namespace kernels::app {

/// `812.0 ns`, `34.52 us`, `1.200 ms`, `2.000 s`.
std::string time_text(double ns);
/// What a ratio of times is as a change, with its interval: `+3.00 % (+2.81 to +3.17)`.
std::string change_text(const bench::Ratio& ratio);
/// How far from the median its interval reaches: `-0.12 to +0.15 %`.
std::string interval_text(const bench::Summary& summary);
/// How much faster than its reference, with its interval: `1.25x (1.21 to 1.30)`.
std::string speedup_text(const bench::Ratio& speedup);
/// `rms_norm float32`; the function alone where the type of its output is not known.
std::string function_text(const bench::ResultRow& row);
/// `97.2 %`.
std::string share_text(double share);
/// `3.12x`.
std::string ratio_text(double ratio);
/// How much of its work a call does in a second: `2951 GB/s`, or `812.0 TFLOP/s` where the operations of a
/// call are declared.
std::string rate_text(const bench::Timing& timing);
/// A number with so many digits after the point; one that would be very long, with a power of ten.
std::string decimal(double value, int digits);

}  // namespace kernels::app
