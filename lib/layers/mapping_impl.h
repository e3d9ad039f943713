#pragma once

// The mapping in force. Not part of the public interface.

#include <map>
#include <memory>
#include <string>

#include "kernels/layers/mapping.h"
#include "kernels/resolve/layer_table.h"

namespace kernels::layers {

using ByMode = std::map<Mode, Repository>;
/// Devices without capabilities have one range, which holds everything.
using ByRange = resolve::IntervalMap<ByMode>;
using ByDevice = std::map<DeviceType, ByRange>;
using MappingTable = std::map<std::string, ByDevice, std::less<>>;

/// The table of the innermost scope of this thread, or of the process. It does not change: registering
/// replaces it.
std::shared_ptr<const MappingTable> mapping_in_force();

}  // namespace kernels::layers
