// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "common/call.h"
#include "layer_norm/layer_norm.h"

namespace {

using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::layer_norm::Operands;
using kernels::tvm_ffi::DeviceType;

constexpr Argument kWithBias[] = {{"out", "DLTensor*", Argument::Access::write},
                                  {"x", "DLTensor*", Argument::Access::read},
                                  {"weight", "DLTensor*", Argument::Access::read},
                                  {"bias", "DLTensor*", Argument::Access::read},
                                  {"eps", "float", Argument::Access::read}};
constexpr Argument kWithoutBias[] = {{"out", "DLTensor*", Argument::Access::write},
                                     {"x", "DLTensor*", Argument::Access::read},
                                     {"weight", "DLTensor*", Argument::Access::read},
                                     {"eps", "float", Argument::Access::read}};
constexpr ElementType kTypes[] = {ElementType::float32, ElementType::float16, ElementType::bfloat16};
constexpr ElementType kReferenceTypes[] = {ElementType::float64, ElementType::float32, ElementType::float16,
                                           ElementType::bfloat16};

/// Argument `index` as a vector of one element per column of `out`.
bool read_vector(const Call& call, DeviceType device, std::span<const ElementType> types, int index,
                 const Rows& out, Rows& vector) {
  if (!call.vector(index, device, types, vector) || !call.alike(out, index, vector)) return false;
  if (vector.cols != out.cols)
    return call.bad_value(index, "must have one element per column", vector.cols, out.cols);
  return true;
}

bool read(const Call& call, bool with_bias, DeviceType device, std::span<const ElementType> types,
          Operands& o, Rows& out) {
  const int eps = with_bias ? 4 : 3;
  Rows x;
  Rows weight;
  Rows bias;
  if (!call.rows(0, device, types, out) || !call.rows(1, device, types, x) || !call.number(eps, o.eps))
    return false;
  if (!call.alike(out, 1, x) || !call.same_leading(out, 1, x)) return false;
  if (out.cols != x.cols)
    return call.bad_value(1, "must have the columns of the first argument", x.cols, out.cols);
  if (!read_vector(call, device, types, 2, out, weight)) return false;
  if (with_bias && !read_vector(call, device, types, 3, out, bias)) return false;
  // Written so that NaN fails too.
  if (!(o.eps >= 0.0)) return call.bad_value(eps, "must not be negative or NaN", -1, 0);
  o = {out.data, x.data,         weight.data,  bias.data, out.rows,
       out.cols, out.row_stride, x.row_stride, o.eps,     out.type};
  return true;
}

int run(const Call& call, bool with_bias) {
  constexpr auto device = static_cast<DeviceType>(KERNELS_DEVICE);
  Operands operands{};
  Rows out;
  if (!read(call, with_bias, device, kTypes, operands, out)) return -1;
  if (operands.rows == 0) return 0;
  const int id = out.tensor->device.id;
  const char* error = launch(operands, {id, TVMFFIEnvGetStream(device, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

int run_reference(const Call& call, bool with_bias) {
  Operands operands{};
  Rows out;
  if (!read(call, with_bias, kernels::tvm_ffi::kCpu, kReferenceTypes, operands, out)) return -1;
  reference(operands);
  return 0;
}

int with_bias(const Call& call) {
  return run(call, true);
}
int without_bias(const Call& call) {
  return run(call, false);
}
int with_bias_reference(const Call& call) {
  return run_reference(call, true);
}
int without_bias_reference(const Call& call) {
  return run_reference(call, false);
}

constexpr Signature kLayerNorm{"layer_norm", kWithBias};
constexpr Signature kLayerNormNoBias{"layer_norm_no_bias", kWithoutBias};
constexpr Signature kLayerNormReference{"layer_norm_reference", kWithBias};
constexpr Signature kLayerNormNoBiasReference{"layer_norm_no_bias_reference", kWithoutBias};

}  // namespace

KERNELS_FUNCTION(layer_norm, kLayerNorm, with_bias)
KERNELS_FUNCTION(layer_norm_no_bias, kLayerNormNoBias, without_bias)
KERNELS_FUNCTION(layer_norm_reference, kLayerNormReference, with_bias_reference)
KERNELS_FUNCTION(layer_norm_no_bias_reference, kLayerNormNoBiasReference, without_bias_reference)
