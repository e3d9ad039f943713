#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/machine/sysroot.h"
#include "kernels/model/target.h"

namespace kernels::machine {

/// How sure a fact is.
enum class Certainty {
  asked,     ///< the kernel, the C library or a driver answered a call
  read,      ///< a file says so, also one of /proc and /sys
  inferred,  ///< follows from something else: a capability from a PCI id
  assumed,   ///< a default; nothing was found that says otherwise
};
const char* to_string(Certainty certainty);

enum class Topic { system, gpu, python };
const char* to_string(Topic topic);

/// One thing that was found out, and where.
struct Fact {
  std::string name;  ///< `torch`, `driver`, `capability of GPU 0`, …
  std::string value;
  std::string source;  ///< a file, a library function, or `none found`
  Certainty certainty = Certainty::read;
  Topic topic = Topic::system;
};

enum class GpuVendor { nvidia, amd };

/// One GPU, or one slice of a GPU that is divided (MIG). What is not known is absent.
struct Gpu {
  GpuVendor vendor = GpuVendor::nvidia;
  std::size_t index = 0;  ///< as the driver counts; without a driver in the order of PCI
  std::string name = {};  ///< `NVIDIA H100 80GB HBM3`; empty: unknown
  std::string arch = {};  ///< AMD: `gfx942`
  std::optional<MajorMinor> capability = {};
  std::optional<std::uint64_t> memory_bytes = {};
  std::string uuid = {};         ///< `GPU-…`, `MIG-…`; empty: unknown
  std::optional<bool> mig = {};  ///< whether the GPU is divided
  std::optional<bool> ecc = {};
  std::string pci = {};  ///< `0000:1b:00.0`; empty: not on PCI, or unknown
};

/// How far the way to NVIDIA GPUs goes.
enum class CudaState {
  no_library,  ///< libcuda.so.1 is not there
  not_asked,   ///< it is there, but the machine is not this one
  failed,      ///< it cannot be loaded, or does not start: `cuda_failure`
  no_gpu,      ///< it runs and finds no GPU
  usable,
};

/// A machine as a target, with the source of everything that went into it.
struct Detected {
  Target target = {};
  std::vector<Fact> facts = {};
  std::vector<Gpu> gpus = {};
  CudaState cuda = CudaState::no_library;
  std::string cuda_failure = {};
  /// The newest CUDA that the driver runs.
  std::optional<MajorMinor> driver_cuda = {};
  /// The CUDA that torch was built for; absent without torch or for other builds.
  std::optional<MajorMinor> torch_cuda = {};
  /// The interpreter of the Python environment; empty: none was found.
  std::filesystem::path interpreter = {};
  /// Folders with the packages of the Python environment, the most specific first.
  std::vector<std::filesystem::path> python_packages = {};
  bool is_musl = false;  ///< the C library is not glibc
};

/// Finds out what this machine is, as far as kernels depend on it. Nothing of Python is run and no GPU
/// context is made: versions of torch and tvm-ffi are read from the files of the active environment
/// (`VIRTUAL_ENV`, `CONDA_PREFIX`, the `python3` on `PATH`), GPUs from the driver library, loaded for the
/// moment. Where no environment has tvm-ffi, the version is that of the provider that comes with this
/// program. Cost  a few milliseconds without a GPU; the driver's initialisation with one.
/// `python`, an interpreter or the folder of an environment, counts in place of the active one.
Detected detect(const Environment& environment,
                const std::optional<std::filesystem::path>& python = std::nullopt);

struct SurveyRequest {
  Sysroot sysroot;
  /// Of another machine the variables are not known: there it is not asked.
  Environment environment;
  /// The interpreter whose environment counts, as a path of the machine; none: the active one.
  std::optional<std::filesystem::path> python = std::nullopt;
};

/// The same for this machine or another one, and everything that helps a person: names, UUIDs, MIG and ECC
/// through NVML, and without a driver what /proc and /sys say. Files of another machine are only read;
/// nothing of this one is asked. Cost  tens of milliseconds; bounded for hostile files.
Detected survey(const SurveyRequest& request);

/// The value of `name = 'value'` (or `name: Optional[str] = 'value'`) in the text of torch's `version.py`.
std::optional<std::string> python_constant(std::string_view source, std::string_view name);

}  // namespace kernels::machine
