#pragma once

#include <optional>
#include <string>
#include <vector>

#include "findings.h"

namespace kernels::machine {

/// A value with where it is from.
template <class T>
struct Sourced {
  T value;
  std::string source;
  Certainty certainty = Certainty::read;
};

/// What libcuda.so.1 of this machine says. No context is made. It stays loaded: the driver has threads of its
/// own.
struct CudaAnswer {
  CudaState state = CudaState::no_library;
  std::string failure = {};
  std::optional<MajorMinor> cuda = {};
  std::vector<Gpu> gpus = {};
};
CudaAnswer ask_cuda();

/// What libnvidia-ml.so.1 of this machine says. `gpus` are all of the machine, also those that CUDA does not
/// show; nothing if the library is not there or does not start.
struct NvmlAnswer {
  std::string driver;
  std::vector<Gpu> gpus;
};
std::optional<NvmlAnswer> ask_nvml();

/// What /proc, /sys and the device tree of any machine say.
struct NvidiaFiles {
  std::vector<Gpu> gpus;
  std::vector<Fact> facts;  ///< of these GPUs
  std::optional<Sourced<std::string>> driver;
  std::optional<Sourced<MajorMinor>> cuda;
};
NvidiaFiles read_nvidia_files(const Sysroot& sysroot);

/// The driver's version alone, which costs one file.
std::optional<Sourced<std::string>> read_driver_version(const Sysroot& sysroot);

/// One fact for each value that is known of a GPU.
void add_gpu_facts(const Gpu& gpu, const std::string& source, Certainty certainty, std::vector<Fact>& facts);

}  // namespace kernels::machine
