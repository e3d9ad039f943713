#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "kernels/machine/detect.h"

namespace kernels::machine {

/// How much is wanted: what decides about kernels, or also what only a person reads.
enum class Depth { target, everything };

/// More GPUs than any machine has; a hostile folder may have more entries.
inline constexpr std::size_t kMaxGpus = 256;

/// What the parts of the detection work on: the machine to look at, and what was found so far.
struct Findings {
  const Sysroot& sysroot;
  const Environment& environment;  ///< empty answers for another machine
  Depth depth;
  Detected out = {};
  /// Of the active environment, if it is one of conda, which brings its own C++ runtime.
  std::filesystem::path conda_prefix = {};

  void fact(Topic topic, std::string name, std::string value, std::string source, Certainty certainty) {
    out.facts.push_back({.name = std::move(name),
                         .value = std::move(value),
                         .source = std::move(source),
                         .certainty = certainty,
                         .topic = topic});
  }
  bool is_here() const { return sysroot.is_here(); }
  bool wants_everything() const { return depth == Depth::everything; }
};

/// Operating system, processor, C library.
void find_system(Findings& findings);
/// The C++ runtime that Python loads; after `find_python`.
void find_cxx_runtime(Findings& findings);
/// Python, torch, tvm-ffi, the CUDA runtime of the environment.
void find_python(Findings& findings, const std::optional<std::filesystem::path>& interpreter);
/// NVIDIA's driver and GPUs; sets the CUDA that they offer where torch has not said.
void find_nvidia(Findings& findings);
/// AMD's.
void find_amd(Findings& findings);

}  // namespace kernels::machine
