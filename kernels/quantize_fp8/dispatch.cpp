#include "common/processor.h"
#include "quantize_fp8/quantize_fp8.h"

namespace kernels::quantize_fp8 {

KERNELS_CPU_LEVELS(launch)

const char* launch(const Operands& operands, Place place) {
  return KERNELS_FOR_THIS_PROCESSOR(launch)(operands, place);
}

}  // namespace kernels::quantize_fp8
