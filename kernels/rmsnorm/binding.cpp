// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "common/call.h"
#include "rmsnorm/rmsnorm.h"

namespace {

using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::rmsnorm::Operands;
using kernels::tvm_ffi::DeviceType;

constexpr Argument kPlain[] = {{"out", "DLTensor*", Argument::Access::write},
                               {"x", "DLTensor*", Argument::Access::read},
                               {"weight", "DLTensor*", Argument::Access::read},
                               {"eps", "float", Argument::Access::read}};
constexpr Argument kFused[] = {{"x", "DLTensor*", Argument::Access::read_write},
                               {"residual", "DLTensor*", Argument::Access::read_write},
                               {"weight", "DLTensor*", Argument::Access::read},
                               {"eps", "float", Argument::Access::read}};
constexpr ElementType kTypes[] = {ElementType::float32, ElementType::float16, ElementType::bfloat16};
constexpr ElementType kReferenceTypes[] = {ElementType::float64, ElementType::float32, ElementType::float16,
                                           ElementType::bfloat16};

/// Arguments 0 and 1 are the two matrices of either form: (out, x) or (x, residual).
bool read(const Call& call, DeviceType device, std::span<const ElementType> types, Rows& first, Rows& second,
          Operands& operands) {
  Rows weight;
  if (!call.rows(0, device, types, first) || !call.rows(1, device, types, second) ||
      !call.vector(2, device, types, weight) || !call.number(3, operands.eps))
    return false;
  if (!call.alike(first, 1, second) || !call.alike(first, 2, weight) || !call.same_leading(first, 1, second))
    return false;
  if (first.cols != second.cols)
    return call.bad_value(1, "must have the columns of the first argument", second.cols, first.cols);
  if (weight.cols != first.cols)
    return call.bad_value(2, "must have one element per column", weight.cols, first.cols);
  // Written so that NaN fails too.
  if (!(operands.eps >= 0.0)) return call.bad_value(3, "must not be negative or NaN", -1, 0);
  operands.weight = weight.data;
  operands.rows = first.rows;
  operands.cols = first.cols;
  operands.type = first.type;
  return true;
}

bool read_plain(const Call& call, DeviceType device, std::span<const ElementType> types, Rows& out,
                Operands& o) {
  Rows x;
  if (!read(call, device, types, out, x, o)) return false;
  o.out = out.data;
  o.out_stride = out.row_stride;
  o.x = x.data;
  o.x_stride = x.row_stride;
  o.residual = nullptr;
  o.residual_stride = 0;
  return true;
}

bool read_fused(const Call& call, DeviceType device, std::span<const ElementType> types, Rows& x,
                Operands& o) {
  Rows residual;
  if (!read(call, device, types, x, residual, o)) return false;
  o.out = x.data;
  o.out_stride = x.row_stride;
  o.x = x.data;
  o.x_stride = x.row_stride;
  o.residual = residual.data;
  o.residual_stride = residual.row_stride;
  return true;
}

int run(const Call& call, const Operands& operands, const Rows& first) {
  if (operands.rows == 0) return 0;
  const int id = first.tensor->device.id;
  const char* error = launch(operands, {id, TVMFFIEnvGetStream(KERNELS_DEVICE, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

constexpr auto kDevice = static_cast<DeviceType>(KERNELS_DEVICE);

int plain(const Call& call) {
  Operands operands{};
  Rows first;
  return read_plain(call, kDevice, kTypes, first, operands) ? run(call, operands, first) : -1;
}

int fused(const Call& call) {
  Operands operands{};
  Rows first;
  return read_fused(call, kDevice, kTypes, first, operands) ? run(call, operands, first) : -1;
}

int plain_reference(const Call& call) {
  Operands operands{};
  Rows first;
  if (!read_plain(call, kernels::tvm_ffi::kCpu, kReferenceTypes, first, operands)) return -1;
  reference(operands);
  return 0;
}

int fused_reference(const Call& call) {
  Operands operands{};
  Rows first;
  if (!read_fused(call, kernels::tvm_ffi::kCpu, kReferenceTypes, first, operands)) return -1;
  reference(operands);
  return 0;
}

constexpr Signature kRmsNorm{"rms_norm", kPlain};
constexpr Signature kFusedAdd{"fused_add_rms_norm", kFused};
constexpr Signature kRmsNormReference{"rms_norm_reference", kPlain};
constexpr Signature kFusedAddReference{"fused_add_rms_norm_reference", kFused};

}  // namespace

KERNELS_FUNCTION(rms_norm, kRmsNorm, plain)
KERNELS_FUNCTION(fused_add_rms_norm, kFusedAdd, fused)
KERNELS_FUNCTION(rms_norm_reference, kRmsNormReference, plain_reference)
KERNELS_FUNCTION(fused_add_rms_norm_reference, kFusedAddReference, fused_reference)
