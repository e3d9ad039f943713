#pragma once

namespace kernels::common {

/// Where a launch goes; unused on the CPU.
struct Place {
  int device;
  void* stream;
};

}  // namespace kernels::common
