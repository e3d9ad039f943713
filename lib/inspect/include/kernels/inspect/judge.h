#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/inspect/library.h"
#include "kernels/model/metadata.h"
#include "kernels/model/target.h"
#include "kernels/model/variant.h"

// Decisions about what was read from a library: pure functions, no I/O. The lists that they compare with
// (policies of manylinux, stable ABI of Python, C functions of torch and tvm-ffi by release) are the files in
// `lib/inspect/data`, each with its source and date.

namespace kernels::inspect {

enum class Weight {
  note,       ///< good to know
  warning,    ///< works here, or may; breaks elsewhere
  violation,  ///< a promise is broken, or it does not work
};
std::string to_string(Weight weight);

/// One thing that was found out about a file.
struct Finding {
  Weight weight = Weight::note;
  std::string rule;  ///< for programs: `glibc`, `python-abi`, …
  std::string text;  ///< for people, one line
  std::string hint;  ///< what to do; may be empty
  bool operator==(const Finding&) const = default;
};

enum class GpuVerdict {
  runs,       ///< every container has machine code for the capability
  after_jit,  ///< the driver has to compile PTX for some or all of them, and can
  partly,     ///< some containers have neither: their functions do not run
  would_not,  ///< no container has either
  no_code,    ///< the file holds no GPU code that could be found
  not_read,   ///< it holds code of a kind that is recognised and not read
  unknown,    ///< it holds images of a kind that is not known, or was not searched to its end
};
/// `runs`, `runs after JIT`, `some functions would not run`, `would not run`, `no GPU code found`, …
std::string to_string(GpuVerdict verdict);

struct GpuJudgement {
  GpuVerdict verdict = GpuVerdict::no_code;
  std::vector<std::size_t> refused;     ///< indices of containers that do not run
  std::size_t considered = 0;           ///< containers that count: neither empty nor relocatable
  std::optional<MajorMinor> needs_ptx;  ///< the newest PTX version that has to be compiled
  /// Oldest driver that can compile it, `580.65.06`; empty if none is needed or it is not known.
  std::string needs_driver;
  bool driver_is_too_old = false;  ///< some of `refused` would run after JIT with `needs_driver`
  bool operator==(const GpuJudgement&) const = default;
};

/// Whether the code runs on a GPU of `capability`, container by container.
///
/// Machine code runs on the same major version from its minor version on; with the suffix `a` on exactly its
/// capability, with `f` as without one. PTX runs on that capability and every later one, if the driver knows
/// its version; with `a` and `f` as machine code does. `driver` is that of the target, or nothing if it is
/// not known: then every driver counts as new enough, and `needs_driver` says what is needed. Source  CUDA
/// C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".
GpuJudgement judge_gpu(const GpuCode& code, MajorMinor capability, const std::optional<std::string>& driver);

/// Whether one image can be loaded on a GPU of `capability`; says nothing about drivers.
bool image_covers(const GpuImage& image, MajorMinor capability);

/// The architectures of a library in the spelling of `metadata.json`, sorted: `9.0`, `9.0a`, `10.0+PTX`. Each
/// is listed if any container has it.
std::vector<std::string> archs_of(const GpuCode& code);

/// What `metadata.json` says about architectures against what the libraries of its variant hold: declared and
/// absent, absent from some containers, present and undeclared.
std::vector<Finding> compare_archs(const std::vector<std::string>& declared,
                                   std::span<const GpuCode* const> code);

/// What breaks a promise of a library, whatever the machine: needed versions against manylinux_2_28, needed
/// libraries against those that a kernel may need, run path, executable stack, writable code, Python's
/// symbols against the stable ABI of 3.9, torch's symbols of a stable-ABI variant against the version that it
/// names, symbols of tvm-ffi against the release that introduced them. `variant`: nothing if it is not known.
std::vector<Finding> judge_abi(const LibraryFacts& facts, const std::optional<Variant>& variant);

/// What keeps the library from being loaded on a target: CPU, glibc, libstdc++, torch. What the target does
/// not say is not judged.
std::vector<Finding> judge_on_target(const LibraryFacts& facts, const std::optional<Variant>& variant,
                                     const Target& target);

/// The oldest policy of manylinux that has all versions that the library needs, `manylinux_2_17`; empty if
/// none has, or the CPU has no policies.
std::string manylinux_policy(const LibraryFacts& facts);

/// The name of a machine as variants spell it: `x86_64`, `aarch64`; empty for others.
std::string cpu_name(std::uint16_t elf_machine);

}  // namespace kernels::inspect
