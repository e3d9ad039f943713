#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/model/target.h"

namespace kernels::machine {

/// One thing that was found out, and where.
struct Fact {
  std::string name;  ///< `torch`, `driver`, …
  std::string value;
  std::string source;  ///< a file, a library function, or `none found`
};

/// This machine as a target, with the source of everything that went into it.
struct Detected {
  Target target;
  std::vector<Fact> facts;
};

/// Finds out what this machine is. Nothing of Python is run and no GPU context is made: versions of torch and
/// tvm-ffi are read from the files of the active environment (`VIRTUAL_ENV`, `CONDA_PREFIX`, the `python3` on
/// `PATH`), GPUs from the driver library, loaded for the moment. Where no environment has tvm-ffi, the
/// version is that of the provider that comes with this program. Cost  a few milliseconds without a GPU; the
/// driver's initialisation with one.
Detected detect(const std::function<std::optional<std::string>(const char*)>& environment);

/// The value of `name = 'value'` (or `name: Optional[str] = 'value'`) in the text of torch's `version.py`.
std::optional<std::string> python_constant(std::string_view source, std::string_view name);

}  // namespace kernels::machine
