#pragma once

// The mapping in force. Not part of the public interface.

#include <memory>

#include "kernels/layers/mapping.h"
#include "kernels/resolve/layer_choice.h"

namespace kernels::layers {

using MappingTable = resolve::LayerTable<Repository>;

/// The table of the innermost scope of this thread, or of the process. It does not change: registering
/// replaces it.
std::shared_ptr<const MappingTable> mapping_in_force();

}  // namespace kernels::layers
