#pragma once

#include <cstdlib>
#include <cstring>

// The CPU variants are compiled several times, for x86-64 as such and for its levels v3 (AVX2, FMA) and v4
// (AVX-512), each in a namespace of the level's name, KERNELS_CPU_LEVEL. What they include must not leave a
// function out of line that another level could then run: functions of headers are marked always_inline.

#ifndef KERNELS_CPU_LEVEL
#define KERNELS_CPU_LEVEL baseline
#endif

namespace kernels::common {

#if defined(__x86_64__) && !defined(KERNELS_CPU_BASELINE_ONLY)
/// The one of the newest level that this processor runs, or of an older one that KERNELS_CPU_LEVEL in the
/// environment names (`baseline`, `v3`).
template <class Function>
Function* for_this_processor(Function* baseline, Function* v3, Function* v4) {
  const char* wanted = std::getenv("KERNELS_CPU_LEVEL");
  if (wanted != nullptr && std::strcmp(wanted, "baseline") == 0) return baseline;
  if (!__builtin_cpu_supports("x86-64-v3")) return baseline;
  if (wanted != nullptr && std::strcmp(wanted, "v3") == 0) return v3;
  return __builtin_cpu_supports("x86-64-v4") ? v4 : v3;
}
#endif

}  // namespace kernels::common

/// Declares `function`, as it is declared in the namespace around, once for each level.
#if defined(__x86_64__) && !defined(KERNELS_CPU_BASELINE_ONLY)
#define KERNELS_CPU_LEVELS(function) \
  namespace baseline {               \
  decltype(function) function;       \
  }                                  \
  namespace v3 {                     \
  decltype(function) function;       \
  }                                  \
  namespace v4 {                     \
  decltype(function) function;       \
  }
#define KERNELS_FOR_THIS_PROCESSOR(function) \
  kernels::common::for_this_processor(&baseline::function, &v3::function, &v4::function)
#else
#define KERNELS_CPU_LEVELS(function) \
  namespace baseline {               \
  decltype(function) function;       \
  }
#define KERNELS_FOR_THIS_PROCESSOR(function) (&baseline::function)
#endif
