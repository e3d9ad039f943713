#include "common/processor.h"
#include "softmax/softmax.h"

namespace kernels::softmax {

KERNELS_CPU_LEVELS(launch)

const char* launch(const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(operands, place);
}

}  // namespace kernels::softmax
