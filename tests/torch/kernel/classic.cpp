// Registered by PyTorch's C++ API, as kernel-builder's torch variants are: bound to one minor version of
// torch.

#include <string>

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "operators.h"
#ifdef TORCH_KERNEL_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace {

using torch_kernel::ElementType;
using torch_kernel::View;

ElementType type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ElementType::float32;
    case at::kHalf:
      return ElementType::float16;
    case at::kBFloat16:
      return ElementType::bfloat16;
    case at::kDouble:
      return ElementType::float64;
    default:
      return ElementType::unknown;
  }
}

View view(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.dim() == 2, "silu_and_mul: expected two dimensions, got ", tensor.dim());
  return {tensor.data_ptr(), tensor.dim(), tensor.size(0), tensor.size(1), tensor.stride(0), type_of(tensor)};
}

void silu_and_mul(at::Tensor& out, const at::Tensor& x) {
#ifdef TORCH_KERNEL_CUDA
  const auto device = x.get_device();
  torch_kernel::run(view(out), view(x), device, c10::cuda::getCurrentCUDAStream(device).stream());
#else
  torch_kernel::run(view(out), view(x), 0, nullptr);
#endif
}

void silu_and_mul_reference(at::Tensor& out, const at::Tensor& x) {
  torch_kernel::run_reference(view(out), view(x));
}

at::Tensor silu_and_mul_returning(at::Tensor& out, const at::Tensor& x) {
  silu_and_mul(out, x);
  return at::empty({2 << 20}, x.options());
}

/// In whatever types libtorch believes that it was given.
void one_more(at::Tensor& out, const at::Tensor& x) {
  out.copy_(x.to(at::kDouble).add(1));
}

template <void (*Function)(const View&, const View&)>
void call(at::Tensor& out, const at::Tensor& x) {
  Function(view(out), view(x));
}

}  // namespace

TORCH_LIBRARY(TORCH_KERNEL_NAMESPACE, library) {
  library.def("silu_and_mul(Tensor! out, Tensor x) -> ()");
  library.def("silu_and_mul_reference(Tensor! out, Tensor x) -> ()");
  library.def("silu_and_mul_returning(Tensor! out, Tensor x) -> Tensor");
  for (const char* name : {"picky", "aborting", "hanging", "one_more"})
    library.def((std::string(name) + "(Tensor! out, Tensor x) -> ()").c_str());
}

#ifdef TORCH_KERNEL_CUDA
#define TORCH_KERNEL_DEVICE CUDA
#else
#define TORCH_KERNEL_DEVICE CPU
#endif

TORCH_LIBRARY_IMPL(TORCH_KERNEL_NAMESPACE, TORCH_KERNEL_DEVICE, library) {
  library.impl("silu_and_mul", &silu_and_mul);
  library.impl("silu_and_mul_returning", &silu_and_mul_returning);
  library.impl("picky", &call<torch_kernel::refuse>);
  library.impl("aborting", &call<torch_kernel::abort_inside>);
  library.impl("hanging", &call<torch_kernel::hang>);
}

TORCH_LIBRARY_IMPL(TORCH_KERNEL_NAMESPACE, CPU, library_of_reference) {
  library_of_reference.impl("one_more", &one_more);
  library_of_reference.impl("silu_and_mul_reference", &silu_and_mul_reference);
}

// The module that Python would import: the only part that needs an interpreter.
extern "C" void* PyModule_Create2(void* definition, int api_version);
extern "C" __attribute__((visibility("default"))) void* PyInit__torch_kernel() {
  return PyModule_Create2(nullptr, 1013);
}
