// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "activation/activation.h"
#include "common/call.h"

namespace {

using kernels::activation::Activation;
using kernels::activation::Operands;
using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::tvm_ffi::DeviceType;

constexpr Argument kArguments[] = {{"out", "DLTensor*", Argument::Access::write},
                                   {"x", "DLTensor*", Argument::Access::read}};
constexpr ElementType kTypes[] = {ElementType::float32, ElementType::float16, ElementType::bfloat16};
constexpr ElementType kReferenceTypes[] = {ElementType::float64, ElementType::float32, ElementType::float16,
                                           ElementType::bfloat16};

bool read(const Call& call, DeviceType device, std::span<const ElementType> types, Operands& operands,
          Rows& out) {
  Rows x;
  if (!call.rows(0, device, types, out) || !call.rows(1, device, types, x)) return false;
  if (!call.alike(out, 1, x) || !call.same_leading(out, 1, x)) return false;
  if (x.cols % 2 != 0)
    return call.bad_value(1, "must have an even number of columns: remainder", x.cols % 2, 0);
  if (x.cols / 2 != out.cols)
    return call.bad_value(1, "must have twice the columns of `out`: half of its columns", x.cols / 2,
                          out.cols);
  operands = {out.data, x.data, out.rows, out.cols, out.row_stride, x.row_stride, out.type};
  return true;
}

int run(const Call& call, Activation activation) {
  constexpr auto device = static_cast<DeviceType>(KERNELS_DEVICE);
  Operands operands;
  Rows out;
  if (!read(call, device, kTypes, operands, out)) return -1;
  if (operands.rows == 0) return 0;
  const int id = out.tensor->device.id;
  const char* error = launch(activation, operands, {id, TVMFFIEnvGetStream(device, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

int run_reference(const Call& call, Activation activation) {
  Operands operands;
  Rows out;
  if (!read(call, kernels::tvm_ffi::kCpu, kReferenceTypes, operands, out)) return -1;
  reference(activation, operands);
  return 0;
}

constexpr Signature kSilu{"silu_and_mul", kArguments};
constexpr Signature kGelu{"gelu_and_mul", kArguments};
constexpr Signature kGeluTanh{"gelu_tanh_and_mul", kArguments};
constexpr Signature kSiluReference{"silu_and_mul_reference", kArguments};
constexpr Signature kGeluReference{"gelu_and_mul_reference", kArguments};
constexpr Signature kGeluTanhReference{"gelu_tanh_and_mul_reference", kArguments};

int silu(const Call& call) {
  return run(call, Activation::silu);
}
int gelu(const Call& call) {
  return run(call, Activation::gelu);
}
int gelu_tanh(const Call& call) {
  return run(call, Activation::gelu_tanh);
}
int silu_reference(const Call& call) {
  return run_reference(call, Activation::silu);
}
int gelu_reference(const Call& call) {
  return run_reference(call, Activation::gelu);
}
int gelu_tanh_reference(const Call& call) {
  return run_reference(call, Activation::gelu_tanh);
}

}  // namespace

KERNELS_FUNCTION(silu_and_mul, kSilu, silu)
KERNELS_FUNCTION(gelu_and_mul, kGelu, gelu)
KERNELS_FUNCTION(gelu_tanh_and_mul, kGeluTanh, gelu_tanh)
KERNELS_FUNCTION(silu_and_mul_reference, kSiluReference, silu_reference)
KERNELS_FUNCTION(gelu_and_mul_reference, kGeluReference, gelu_reference)
KERNELS_FUNCTION(gelu_tanh_and_mul_reference, kGeluTanhReference, gelu_tanh_reference)
