#include "common/processor.h"
#include "layer_norm/layer_norm.h"

namespace kernels::layer_norm {

KERNELS_CPU_LEVELS(launch)

const char* launch(const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(operands, place);
}

}  // namespace kernels::layer_norm
