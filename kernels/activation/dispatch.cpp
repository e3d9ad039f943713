#include "activation/activation.h"
#include "common/processor.h"

namespace kernels::activation {

KERNELS_CPU_LEVELS(launch)

const char* launch(Activation activation, const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(activation, operands, place);
}

}  // namespace kernels::activation
