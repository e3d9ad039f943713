#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/base/error.h"
#include "kernels/layers/mapping.h"

namespace kernels::layers {

/// A variant of a kernel on this machine, verified and complete.
struct LocatedKernel {
  std::filesystem::path folder;    ///< holds `layers.toml` and one library
  std::filesystem::path provider;  ///< the libtvm_ffi.so for it
  std::string variant;             ///< `tvm-ffi01-cu130-x86_64-linux`
  std::string revision;            ///< the commit; empty for a folder of the user's
};

/// Where `kernelize` gets kernels from. `ops::hub_kernel_source` is the one of this project: the Hub, the
/// shared cache, project locks and folders.
class KernelSource {
 public:
  KernelSource() = default;
  KernelSource(const KernelSource&) = delete;
  KernelSource& operator=(const KernelSource&) = delete;
  virtual ~KernelSource() = default;

  /// Fetches what is missing. Called at most once for each repository, device and process, never two at a
  /// time. Errors  not_found, no_match (nothing that runs here), network, untrusted, integrity, …
  virtual Result<LocatedKernel> locate(const Repository& repository, DeviceType device) = 0;
  /// The compute capability of this machine's device; nothing if there is no such device.
  virtual std::optional<std::uint32_t> capability(DeviceType device) = 0;
};

/// The source for all that follows in this process. Kernels that are loaded stay.
void set_kernel_source(std::shared_ptr<KernelSource> source);

}  // namespace kernels::layers
