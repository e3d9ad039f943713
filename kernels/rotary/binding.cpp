// The tvm-ffi face of this kernel, compiled once per variant; KERNELS_DEVICE says for which device.

#include "common/call.h"
#include "common/double_view.h"
#include "rotary/rotary.h"

namespace {

using kernels::common::Argument;
using kernels::common::Call;
using kernels::common::ElementType;
using kernels::common::Heads;
using kernels::common::Rows;
using kernels::common::Signature;
using kernels::rotary::Operands;
using kernels::rotary::Style;
using kernels::tvm_ffi::DeviceType;

constexpr Argument kArguments[] = {{"query", "DLTensor*", Argument::Access::read_write},
                                   {"key", "DLTensor*", Argument::Access::read_write},
                                   {"positions", "DLTensor*", Argument::Access::read},
                                   {"cos_sin_cache", "DLTensor*", Argument::Access::read}};
constexpr ElementType kTypes[] = {ElementType::float32, ElementType::float16, ElementType::bfloat16};
constexpr ElementType kReferenceTypes[] = {ElementType::float64, ElementType::float32, ElementType::float16,
                                           ElementType::bfloat16};
constexpr ElementType kPositions[] = {ElementType::int64, ElementType::int32};

bool read_cache(const Call& call, DeviceType device, std::span<const ElementType> types, const Heads& query,
                Rows& cache) {
  constexpr int kCache = 3;
  if (!call.rows(kCache, device, types, cache)) return false;
  if (!call.same_type(query.type, kCache, cache.type) ||
      !call.same_device(*query.tensor, kCache, *cache.tensor))
    return false;
  if (cache.tensor->ndim != 2)
    return call.bad_value(kCache, "must have two dimensions", cache.tensor->ndim, 2);
  if (cache.cols % 2 != 0)
    return call.bad_value(kCache, "must have an even number of columns: remainder", cache.cols % 2, 0);
  if (cache.cols > query.cols)
    return call.bad_value(kCache, "must not have more columns than a head has elements", cache.cols,
                          query.cols);
  return true;
}

/// Where the values of a position can be read, every one is looked up before anything is written.
bool positions_fit(const Call& call, const Rows& positions, const Rows& cache) {
  const std::int64_t last = cache.tensor->shape[0] - 1;
  for (std::int64_t i = 0; i < positions.cols; ++i) {
    const std::int64_t position = kernels::common::load_whole(positions.data, positions.type, i);
    if (position < 0 || position > last)
      return call.bad_value(2, "has a position outside of `cos_sin_cache`, whose last one is stated",
                            position, last);
  }
  return true;
}

kernels::rotary::Heads heads_of(const Heads& heads) {
  return {heads.data, heads.data == nullptr ? 0 : heads.heads, heads.token_stride, heads.head_stride};
}

bool read(const Call& call, DeviceType device, std::span<const ElementType> types, Heads& query,
          Operands& operands) {
  Heads key;
  Rows positions;
  Rows cache;
  if (!call.heads(0, device, types, query) || !call.heads(1, device, types, key)) return false;
  if (!call.same_type(query.type, 1, key.type) || !call.same_device(*query.tensor, 1, *key.tensor) ||
      !call.same_leading(*query.tensor, 1, *key.tensor, 2))
    return false;
  if (key.cols != query.cols)
    return call.bad_value(1, "must have heads as large as those of `query`", key.cols, query.cols);
  if (!call.per_row(2, device, kPositions, *query.tensor, 2, positions)) return false;
  if (!read_cache(call, device, types, query, cache)) return false;
  if (positions.cols > 0 && cache.tensor->shape[0] == 0)
    return call.bad_value(3, "must have a row for each position: rows", 0, 1);
  if (device == kernels::tvm_ffi::kCpu && !positions_fit(call, positions, cache)) return false;
  operands = {.query = heads_of(query),
              .key = heads_of(key),
              .positions = positions.data,
              .cache = cache.data,
              .tokens = positions.cols,
              .rotary_dim = cache.cols,
              .cache_rows = cache.tensor->shape[0],
              .cache_stride = cache.row_stride,
              .type = query.type,
              .position_type = positions.type};
  return true;
}

int run(const Call& call, Style style) {
  constexpr auto device = static_cast<DeviceType>(KERNELS_DEVICE);
  Heads query;
  Operands operands;
  if (!read(call, device, kTypes, query, operands)) return -1;
  const int id = query.tensor->device.id;
  const char* error = launch(style, operands, {id, TVMFFIEnvGetStream(device, id)});
  return error == nullptr ? 0 : call.launch_failed(error);
}

int run_reference(const Call& call, Style style) {
  Heads query;
  Operands operands;
  if (!read(call, kernels::tvm_ffi::kCpu, kReferenceTypes, query, operands)) return -1;
  reference(style, operands);
  return 0;
}

constexpr Signature kNeox{"rotary_neox", kArguments};
constexpr Signature kGptj{"rotary_gptj", kArguments};
constexpr Signature kNeoxReference{"rotary_neox_reference", kArguments};
constexpr Signature kGptjReference{"rotary_gptj_reference", kArguments};

int neox(const Call& call) {
  return run(call, Style::neox);
}
int gptj(const Call& call) {
  return run(call, Style::gptj);
}
int neox_reference(const Call& call) {
  return run_reference(call, Style::neox);
}
int gptj_reference(const Call& call) {
  return run_reference(call, Style::gptj);
}

}  // namespace

KERNELS_FUNCTION(rotary_neox, kNeox, neox)
KERNELS_FUNCTION(rotary_gptj, kGptj, gptj)
KERNELS_FUNCTION(rotary_neox_reference, kNeoxReference, neox_reference)
KERNELS_FUNCTION(rotary_gptj_reference, kGptjReference, gptj_reference)
