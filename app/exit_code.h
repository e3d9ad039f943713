#pragma once

#include "kernels/base/error.h"

namespace kernels::app {

/// What the program ends with; scripts and CI jobs branch on it.
enum class ExitCode : int {
  ok = 0,
  no = 1,         ///< the answer is no: incompatible, stale, a regression, nothing matched
  usage = 2,      ///< the command line or a project file
  network = 3,    ///< the Hub or the way to it
  integrity = 4,  ///< wrong bytes, signature or trust
  machine = 5,    ///< disk full, permissions, no such device
  interrupted = 130,
};

ExitCode exit_code_of(Errc code);

}  // namespace kernels::app
