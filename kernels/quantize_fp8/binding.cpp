// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "common/call.h"
#include "quantize_fp8/quantize_fp8.h"

namespace {

using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::quantize_fp8::Operands;
using kernels::tvm_ffi::DeviceType;
using Access = Argument::Access;

constexpr Argument kPlain[] = {{"out", "DLTensor*", Access::write},
                               {"scales", "DLTensor*", Access::write},
                               {"x", "DLTensor*", Access::read}};
constexpr Argument kNorm[] = {{"out", "DLTensor*", Access::write},
                              {"scales", "DLTensor*", Access::write},
                              {"x", "DLTensor*", Access::read},
                              {"weight", "DLTensor*", Access::read},
                              {"eps", "float", Access::read}};
constexpr Argument kFusedAdd[] = {
    {"out", "DLTensor*", Access::write},   {"scales", "DLTensor*", Access::write},
    {"x", "DLTensor*", Access::read},      {"residual", "DLTensor*", Access::read_write},
    {"weight", "DLTensor*", Access::read}, {"eps", "float", Access::read}};

/// Which types a function takes, and where.
struct Takes {
  DeviceType device;
  std::span<const ElementType> values;
  std::span<const ElementType> out;
  std::span<const ElementType> scales;
};
constexpr ElementType kValues[] = {ElementType::float32, ElementType::float16, ElementType::bfloat16};
constexpr ElementType kOut[] = {ElementType::float8_e4m3};
constexpr ElementType kScales[] = {ElementType::float32};
constexpr Takes kVariant = {static_cast<DeviceType>(KERNELS_DEVICE), kValues, kOut, kScales};
constexpr ElementType kReferenceValues[] = {ElementType::float64, ElementType::float32, ElementType::float16,
                                            ElementType::bfloat16};
constexpr ElementType kReferenceOut[] = {ElementType::float64, ElementType::float8_e4m3};
constexpr ElementType kReferenceScales[] = {ElementType::float64, ElementType::float32};
constexpr Takes kReference = {kernels::tvm_ffi::kCpu, kReferenceValues, kReferenceOut, kReferenceScales};

enum class Form : std::uint8_t { plain, norm, fused_add };

/// Another matrix of the type and the sizes of `x`.
bool read_like(const Call& call, const Takes& takes, const Rows& x, int index, Rows& other) {
  if (!call.rows(index, takes.device, takes.values, other)) return false;
  if (!call.alike(x, index, other) || !call.same_leading(x, index, other)) return false;
  if (other.cols != x.cols) return call.bad_value(index, "must have the columns of `x`", other.cols, x.cols);
  return true;
}

bool read_norm(const Call& call, const Takes& takes, const Rows& x, int index, Operands& o) {
  Rows weight;
  if (!call.vector(index, takes.device, takes.values, weight) || !call.number(index + 1, o.eps)) return false;
  if (!call.alike(x, index, weight)) return false;
  if (weight.cols != x.cols)
    return call.bad_value(index, "must have one element per column", weight.cols, x.cols);
  // Written so that NaN fails too.
  if (!(o.eps >= 0.0)) return call.bad_value(index + 1, "must not be negative or NaN", -1, 0);
  o.weight = weight.data;
  return true;
}

bool read(const Call& call, const Takes& takes, Form form, Operands& o, Rows& x) {
  constexpr int kFirst = 3;  // behind out, scales and x
  Rows out;
  Rows scales;
  if (!call.rows(2, takes.device, takes.values, x) || !call.rows(0, takes.device, takes.out, out))
    return false;
  if (!call.same_device(*x.tensor, 0, *out.tensor) || !call.same_leading(x, 0, out)) return false;
  if (out.cols != x.cols) return call.bad_value(0, "must have the columns of `x`", out.cols, x.cols);
  if (!call.per_row(1, takes.device, takes.scales, *x.tensor, 1, scales)) return false;
  Rows residual;
  if (form == Form::fused_add && !read_like(call, takes, x, kFirst, residual)) return false;
  const int norm = form == Form::fused_add ? kFirst + 1 : kFirst;
  if (form != Form::plain && !read_norm(call, takes, x, norm, o)) return false;
  o.out = out.data;
  o.out_stride = out.row_stride;
  o.out_type = out.type;
  o.scales = scales.data;
  o.scale_type = scales.type;
  o.x = x.data;
  o.x_stride = x.row_stride;
  o.residual = residual.data;
  o.residual_stride = residual.row_stride;
  o.rows = scales.cols;  // rows without columns have a scale, too
  o.cols = x.cols;
  o.type = x.type;
  return true;
}

int run(const Call& call, Form form) {
  Operands operands{};
  Rows x;
  if (!read(call, kVariant, form, operands, x)) return -1;
  if (operands.rows == 0) return 0;
  const int id = x.tensor->device.id;
  const char* error = launch(operands, {id, TVMFFIEnvGetStream(KERNELS_DEVICE, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

int run_reference(const Call& call, Form form) {
  Operands operands{};
  Rows x;
  if (!read(call, kReference, form, operands, x)) return -1;
  reference(operands);
  return 0;
}

constexpr Signature kQuantize{"quantize_fp8_per_token", kPlain};
constexpr Signature kRmsNorm{"rms_norm_quantize_fp8", kNorm};
constexpr Signature kFusedAddRmsNorm{"fused_add_rms_norm_quantize_fp8", kFusedAdd};
constexpr Signature kQuantizeReference{"quantize_fp8_per_token_reference", kPlain};
constexpr Signature kRmsNormReference{"rms_norm_quantize_fp8_reference", kNorm};
constexpr Signature kFusedAddReference{"fused_add_rms_norm_quantize_fp8_reference", kFusedAdd};

int quantize(const Call& call) {
  return run(call, Form::plain);
}
int rms_norm(const Call& call) {
  return run(call, Form::norm);
}
int fused_add(const Call& call) {
  return run(call, Form::fused_add);
}
int quantize_reference(const Call& call) {
  return run_reference(call, Form::plain);
}
int rms_norm_reference(const Call& call) {
  return run_reference(call, Form::norm);
}
int fused_add_reference(const Call& call) {
  return run_reference(call, Form::fused_add);
}

}  // namespace

KERNELS_FUNCTION(quantize_fp8_per_token, kQuantize, quantize)
KERNELS_FUNCTION(rms_norm_quantize_fp8, kRmsNorm, rms_norm)
KERNELS_FUNCTION(fused_add_rms_norm_quantize_fp8, kFusedAddRmsNorm, fused_add)
KERNELS_FUNCTION(quantize_fp8_per_token_reference, kQuantizeReference, quantize_reference)
KERNELS_FUNCTION(rms_norm_quantize_fp8_reference, kRmsNormReference, rms_norm_reference)
KERNELS_FUNCTION(fused_add_rms_norm_quantize_fp8_reference, kFusedAddReference, fused_add_reference)
