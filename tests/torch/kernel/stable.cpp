// Registered by the stable ABI: one binary for torch 2.10 and all that come later.

#include <string>

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "operators.h"

namespace {

using torch::stable::Tensor;
using torch_kernel::ElementType;
using torch_kernel::View;

ElementType type_of(const Tensor& tensor) {
  std::int32_t type = 0;
  if (aoti_torch_get_dtype(tensor.get(), &type) != 0) return ElementType::unknown;
  if (type == aoti_torch_dtype_float32()) return ElementType::float32;
  if (type == aoti_torch_dtype_float16()) return ElementType::float16;
  if (type == aoti_torch_dtype_bfloat16()) return ElementType::bfloat16;
  return type == aoti_torch_dtype_float64() ? ElementType::float64 : ElementType::unknown;
}

View view(const Tensor& tensor) {
  if (tensor.dim() != 2) throw std::invalid_argument("silu_and_mul: expected two dimensions");
  return {tensor.data_ptr(), tensor.dim(), tensor.size(0), tensor.size(1), tensor.stride(0), type_of(tensor)};
}

void silu_and_mul(Tensor out, Tensor x) {
#ifdef TORCH_KERNEL_CUDA
  void* stream = nullptr;
  const auto device = x.get_device_index();
  if (aoti_torch_get_current_cuda_stream(device, &stream) != 0) throw std::runtime_error("no stream");
  torch_kernel::run(view(out), view(x), device, stream);
#else
  torch_kernel::run(view(out), view(x), 0, nullptr);
#endif
}

void silu_and_mul_reference(Tensor out, Tensor x) {
  torch_kernel::run_reference(view(out), view(x));
}

Tensor silu_and_mul_returning(Tensor out, Tensor x) {
  silu_and_mul(out, x);
  return torch::stable::new_empty(x, {2 << 20});
}

template <void (*Function)(const View&, const View&)>
void call(Tensor out, Tensor x) {
  Function(view(out), view(x));
}

}  // namespace

STABLE_TORCH_LIBRARY(TORCH_KERNEL_NAMESPACE, library) {
  library.def("silu_and_mul(Tensor! out, Tensor x) -> ()");
  library.def("silu_and_mul_reference(Tensor! out, Tensor x) -> ()");
  library.def("silu_and_mul_returning(Tensor! out, Tensor x) -> Tensor");
  for (const char* name : {"picky", "aborting", "hanging"})
    library.def((std::string(name) + "(Tensor! out, Tensor x) -> ()").c_str());
}

#ifdef TORCH_KERNEL_CUDA
#define TORCH_KERNEL_DEVICE CUDA
#else
#define TORCH_KERNEL_DEVICE CPU
#endif

STABLE_TORCH_LIBRARY_IMPL(TORCH_KERNEL_NAMESPACE, TORCH_KERNEL_DEVICE, library) {
  library.impl("silu_and_mul", TORCH_BOX(&silu_and_mul));
  library.impl("silu_and_mul_returning", TORCH_BOX(&silu_and_mul_returning));
  library.impl("picky", TORCH_BOX(&call<torch_kernel::refuse>));
  library.impl("aborting", TORCH_BOX(&call<torch_kernel::abort_inside>));
  library.impl("hanging", TORCH_BOX(&call<torch_kernel::hang>));
}

STABLE_TORCH_LIBRARY_IMPL(TORCH_KERNEL_NAMESPACE, CPU, library_of_reference) {
  library_of_reference.impl("silu_and_mul_reference", TORCH_BOX(&silu_and_mul_reference));
}

// The module that Python would import: the only part that needs an interpreter.
extern "C" void* PyModule_Create2(void* definition, int api_version);
extern "C" __attribute__((visibility("default"))) void* PyInit__torch_kernel() {
  return PyModule_Create2(nullptr, 1013);
}
