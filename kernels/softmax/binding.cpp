// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "common/call.h"
#include "softmax/softmax.h"

namespace {

using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::softmax::Operands;
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
  if (out.cols != x.cols)
    return call.bad_value(1, "must have the columns of the first argument", x.cols, out.cols);
  operands = {out.data, x.data, out.rows, out.cols, out.row_stride, x.row_stride, out.type};
  return true;
}

int softmax(const Call& call) {
  constexpr auto device = static_cast<DeviceType>(KERNELS_DEVICE);
  Operands operands;
  Rows out;
  if (!read(call, device, kTypes, operands, out)) return -1;
  if (operands.rows == 0) return 0;
  const int id = out.tensor->device.id;
  const char* error = launch(operands, {id, TVMFFIEnvGetStream(device, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

int softmax_reference(const Call& call) {
  Operands operands;
  Rows out;
  if (!read(call, kernels::tvm_ffi::kCpu, kReferenceTypes, operands, out)) return -1;
  reference(operands);
  return 0;
}

constexpr Signature kSoftmax{"softmax", kArguments};
constexpr Signature kSoftmaxReference{"softmax_reference", kArguments};

}  // namespace

KERNELS_FUNCTION(softmax, kSoftmax, softmax)
KERNELS_FUNCTION(softmax_reference, kSoftmaxReference, softmax_reference)
