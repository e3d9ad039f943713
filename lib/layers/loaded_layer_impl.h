#pragma once

// A layer or function of a kernel library that is loaded. Not part of the public interface.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/layers/kernel_source.h"
#include "kernels/layers/module.h"
#include "kernels/model/native_layers.h"
#include "kernels/runtime/library.h"

namespace kernels::layers {

struct LoadedLayer {
  NativeLayer declaration;
  Signature signature;
  runtime::KernelFunction function;
  LocatedKernel place;
  DeviceType device;
  std::string title;  ///< the repository and what it is there, for errors
};

/// Loads a layer, or returns the one that was loaded before for this repository and device. Threads  any.
Result<std::shared_ptr<const LoadedLayer>> load_layer(const Repository& repository, DeviceType device);

/// Makes a kernel ready for one layer. Errors  invalid_argument: another signature, a member that the layer
/// lacks or that has another type.
Result<std::shared_ptr<const BoundKernel>> bind_kernel(std::shared_ptr<const LoadedLayer> loaded,
                                                       const LayerBase& layer, const Allocator& allocate);

/// The capability that the source reports. Errors  none; nothing without a source or device.
std::optional<std::uint32_t> source_capability(DeviceType device);

}  // namespace kernels::layers
