#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/variant.h"
#include "kernels/model/version.h"

namespace kernels {

/// A machine that kernels are to run on: detected ("this machine") or described by a person. Only what
/// decides about variants and about whether a binary runs; what is not known is absent, never guessed.
struct Target {
  std::string name = "this machine";
  std::string os = "linux";
  std::string cpu = "x86_64";
  Backend backend;
  std::optional<MajorMinor> torch;
  std::optional<bool> cxx11_abi;  ///< torch's C++ ABI; only meaningful on Linux with torch
  std::optional<MajorMinor> tvm_ffi;
  std::optional<MajorMinor> macos;
  std::vector<MajorMinor> capabilities;  ///< of the GPUs; empty: none, or unknown
  std::optional<std::string> driver;     ///< e.g. "580.65"
  std::optional<MajorMinor> glibc;
  std::optional<std::string> glibcxx;  ///< the newest GLIBCXX_ that libstdc++ defines, e.g. "3.4.30"
  std::optional<std::string> cxxabi;   ///< the newest CXXABI_ there, e.g. "1.3.13"
  std::optional<MajorMinor> python;
  bool free_threaded_python = false;  ///< a Python before 3.15 built without the GIL: no stable ABI
  bool operator==(const Target&) const = default;

  /// One line for people: `linux x86_64, CUDA 13.0, torch 2.11, capability 9.0`.
  std::string display() const;
  /// The description that `parse_target` reads back as an equal target but for the name: every key that is
  /// known, in the documented order, without those that a target has anyway.
  std::string description() const;
};

/// The keys of a described target, in the order in which they are documented.
const std::vector<std::string>& target_keys();

/// Sets one key from its text form, as in `--target os=linux,cuda=13.0` and in `[targets.x]` tables. `cuda`,
/// `rocm`, `xpu`, `cann` set the backend and its version, `backend` one without a version; `capability` adds
/// one. `python=3.13t` is a Python without the GIL.
/// Errors  invalid_argument: unknown key (with the nearest), bad value, two backends.
Status set_target_key(Target& target, std::string_view key, std::string_view value);

/// Fills in what follows from the rest: on Linux with torch, the cxx11 ABI is the new one unless said
/// otherwise.
void complete_target(Target& target);

/// A description such as `os=linux,cpu=x86_64,torch=2.11,cuda=13.0,capability=9.0`.
Result<Target> parse_target(std::string_view text);

}  // namespace kernels
