#include "engine.h"

namespace example {

Result<std::unique_ptr<Engine>> make_cuda_engine() {
  return kernels::fail(
      kernels::Error(kernels::Errc::unsupported, "this example was built without a CUDA compiler")
          .with_hint("use `--device cpu`"));
}

}  // namespace example
