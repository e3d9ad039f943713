#include "common/processor.h"
#include "rmsnorm/rmsnorm.h"

namespace kernels::rmsnorm {

KERNELS_CPU_LEVELS(launch)

const char* launch(const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(operands, place);
}

}  // namespace kernels::rmsnorm
