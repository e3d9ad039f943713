#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/layers/module.h"
#include "kernels/layers/tensor.h"
#include "kernels/model/layer.h"

namespace kernels::layers {

/// Cases in which a layer may keep its own `forward`; otherwise they are errors. The names are Python's.
class KernelizeFallback {
 public:
  static const KernelizeFallback none;
  static const KernelizeFallback no_layer;                  ///< no mapping for the layer
  static const KernelizeFallback no_device;                 ///< none for the device
  static const KernelizeFallback no_compatible_properties;  ///< no range holds the device's capability
  static const KernelizeFallback no_compatible_mode;  ///< no kernel for the mode, or it does not support it
  static const KernelizeFallback cannot_load;         ///< not found, nothing that runs here, Hub out of reach
  static const KernelizeFallback standard;            ///< all but `cannot_load`
  static const KernelizeFallback all;

  /// As `use_fallback = true` (standard) and `false` (none).
  constexpr KernelizeFallback(bool use_fallback) : bits_(use_fallback ? 15 : 0) {}
  friend constexpr KernelizeFallback operator|(KernelizeFallback a, KernelizeFallback b) {
    return from_bits(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  constexpr bool has(KernelizeFallback flags) const { return (bits_ & flags.bits_) == flags.bits_; }

 private:
  static constexpr KernelizeFallback from_bits(std::uint8_t bits) {
    KernelizeFallback out(false);
    out.bits_ = bits;
    return out;
  }
  std::uint8_t bits_;
};

inline constexpr KernelizeFallback KernelizeFallback::none = from_bits(0);
inline constexpr KernelizeFallback KernelizeFallback::no_layer = from_bits(1);
inline constexpr KernelizeFallback KernelizeFallback::no_device = from_bits(2);
inline constexpr KernelizeFallback KernelizeFallback::no_compatible_properties = from_bits(4);
inline constexpr KernelizeFallback KernelizeFallback::no_compatible_mode = from_bits(8);
inline constexpr KernelizeFallback KernelizeFallback::cannot_load = from_bits(16);
inline constexpr KernelizeFallback KernelizeFallback::standard = from_bits(15);
inline constexpr KernelizeFallback KernelizeFallback::all = from_bits(31);

struct KernelizeOptions {
  /// For what the model is used. None: as the model is set (training or not), or as the next two say.
  std::optional<Mode> mode = {};
  /// `cuda`, `cpu`, … None: that of the model's first parameter.
  std::optional<std::string> device = {};
  KernelizeFallback use_fallback = true;
  /// Instead of `mode`: whether kernels must have a backward, and must work under torch.compile.
  std::optional<bool> needs_backward = {};
  std::optional<bool> needs_torch_compile = {};
  /// Instead of the device's own: 90 for 9.0.
  std::optional<std::uint32_t> capability = {};
  /// Where outputs of kernels come from. None: plain memory, for models on the CPU only.
  Allocator allocate = {};
};

/// What happened to one layer.
enum class Outcome {
  kernel,    ///< a kernel stands in for `forward`
  no_layer,  ///< from here on the layer's own `forward` runs
  no_device,
  no_compatible_properties,
  no_compatible_mode,
  not_supported_by_kernel,  ///< the kernel has no backward, or does not work under torch.compile
  cannot_load,
  condition,  ///< the layer's condition said no; what was in place stays
  disabled,   ///< DISABLE_KERNEL_MAPPING
};
std::string to_string(Outcome outcome);

struct LayerReport {
  std::string path = {};   ///< `model.layers.0.mlp.act`; empty for the model itself
  std::string layer = {};  ///< the name in mappings
  Outcome outcome = Outcome::kernel;
  std::optional<Mode> registered_mode = {};  ///< under which the kernel was found
  std::string repository = {};               ///< as `to_string(Repository)`
  std::string revision = {};
  std::string variant = {};
  std::string reason = {};  ///< for people; empty for a kernel
};

/// What `kernelize` did, in the order of the walk.
struct KernelizeReport {
  Mode mode = Mode::inference;
  DeviceType device = DeviceType::cpu;
  std::optional<std::uint32_t> capability = {};
  std::vector<LayerReport> layers;

  std::size_t replaced() const;
  /// One line for each layer, in columns.
  std::string text() const;
};

/// Puts kernels in the place of `forward` in every extensible layer of the model, in place, by the mapping in
/// force. Again with another mode or mapping: replaces again, or restores.
///
/// Everything is looked up, loaded and checked first; only then the model is changed. After an error it is as
/// it was. Code of kernel libraries runs in this process from the first load on. Set
/// `DISABLE_KERNEL_MAPPING=1` and every layer runs its own `forward`.
///
/// Errors  invalid_argument: a mode that is none, `mode` together with `needs_…`, an unknown device, a model
/// without
///         parameters and no `device`, a kernel registered for a mode that it does not support, a signature
///         that differs from the layer's, a member that the layer lacks; no_match: a case that `use_fallback`
///         does not allow; unsupported: another thread is kernelizing this model; and those of loading. The
///         text names layer, device, mode and repository.
/// Threads  any, for different models. Nobody may call the model meanwhile.
/// Cost     under a microsecond for each layer once kernels are loaded.
Result<KernelizeReport> kernelize(Module& model, const KernelizeOptions& options = {});

/// The CUDA stream on which kernels run that this thread calls from now on. Errors  unsupported: no kernel is
/// loaded yet.
Status use_stream(std::int32_t device_id, void* stream);

}  // namespace kernels::layers
