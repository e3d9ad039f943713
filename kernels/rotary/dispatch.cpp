#include "common/processor.h"
#include "rotary/rotary.h"

namespace kernels::rotary {

KERNELS_CPU_LEVELS(launch)

const char* launch(Style style, const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(style, operands, place);
}

}  // namespace kernels::rotary
