#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "findings.h"
#include "texts.h"

namespace kernels::machine {

/// A Python as its files show it.
struct PythonEnvironment {
  std::filesystem::path prefix;      ///< `/usr`, `/home/x/venv`, `/opt/conda/envs/py_3.12`
  std::filesystem::path executable;  ///< may be empty
  std::string kind;                  ///< `virtual environment`, `conda`, `installation`
  std::string chosen_by;             ///< `VIRTUAL_ENV`, `PATH`, `--python`, …
  std::optional<PythonName> name;    ///< major, minor and whether it has no GIL
  std::string version;               ///< as exact as it is known: `3.12.3`
  std::string version_source;
  Certainty version_certainty = Certainty::read;
  /// Folders with packages, the most specific first.
  std::vector<std::filesystem::path> sites;
};

/// The environment whose packages a program would use: that of the interpreter if one is given, else
/// `VIRTUAL_ENV`, `CONDA_PREFIX`, the first `python3` on `PATH` (behind the shims of pyenv the one that they
/// would start). Nothing if there is no Python.
std::optional<PythonEnvironment> find_environment(const Findings& findings,
                                                  const std::optional<std::filesystem::path>& interpreter);

/// torch, tvm-ffi and the CUDA runtime of the environment's packages.
void find_frameworks(Findings& findings, const std::vector<std::filesystem::path>& sites);

}  // namespace kernels::machine
