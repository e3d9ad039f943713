#include "common/launch.h"
#include "quantize_fp8/quantize_fp8.cuh"

namespace kernels::quantize_fp8 {
namespace {

/// Chunks of a row up to which a thread holds one.
constexpr std::int64_t row_of_one(Form form, std::int64_t rows) {
  return form == Form::plain && rows < common::kManyRows ? 512 : 256;
}

/// Of rows that are not short the plain form has one kernel for both modes.
template <class T, Form kForm, int kHeld>
const void* kernel_for() {
  if constexpr (kForm != Form::plain)
    return reinterpret_cast<const void*>(&norm_held<T, kHeld, kForm>);
  else if (!kIsShort<kHeld> || common::dependent_launch())
    return reinterpret_cast<const void*>(&quantize_held<T, kHeld, true>);
  else
    return reinterpret_cast<const void*>(&quantize_held<T, kHeld, !kIsShort<kHeld>>);
}

template <class T, Form kForm, int kHeld>
cudaError_t start_held(const Typed<T>& typed, std::int64_t chunks, const Place& place) {
  return common::start_rows(kernel_for<T, kForm, kHeld>(), typed, (chunks + kHeld - 1) / kHeld, place);
}

template <class T>
bool wide_enough(const Operands& o) {
  const std::int64_t size = sizeof(T);
  const bool many = o.rows > 1;
  const bool out_fits = reinterpret_cast<std::uintptr_t>(o.out) % kChunk == 0 &&
                        (!many || (o.out_stride % kChunk == 0 && o.out_stride / kChunk <= common::kMostStep));
  return o.cols % kChunk == 0 && o.rows <= common::kMostBlocks && out_fits &&
         common::aligned_rows(o.x, many ? o.x_stride : 0, size) && common::aligned_rows(o.weight, 0, size) &&
         common::aligned_rows(o.residual, many ? o.residual_stride : 0, size);
}

template <class T, Form kForm>
cudaError_t choose(const Operands& o, const Place& place) {
  const std::int64_t chunks = o.cols / kChunk;
  const Typed<T> typed{static_cast<const T*>(o.x),
                       common::step_of(o.x_stride, sizeof(T)),
                       static_cast<unsigned>(chunks <= common::kRowOfEight ? chunks : 0),
                       static_cast<std::uint8_t*>(o.out),
                       static_cast<float*>(o.scales),
                       static_cast<unsigned>(o.out_stride / kChunk),
                       common::step_of(o.residual_stride, sizeof(T)),
                       static_cast<const T*>(o.weight),
                       static_cast<T*>(o.residual),
                       o.cols == 0 ? 0.0F : 1.0F / static_cast<float>(o.cols),
                       static_cast<float>(o.eps),
                       o.rows,
                       o.cols,
                       o.out_stride,
                       o.x_stride,
                       o.residual_stride};
  const bool wide = wide_enough<T>(o);
  if (wide && chunks <= row_of_one(kForm, o.rows)) return start_held<T, kForm, 1>(typed, chunks, place);
  if (wide && chunks <= common::kRowOfTwo) return start_held<T, kForm, 2>(typed, chunks, place);
  if (wide && chunks <= common::kRowOfFour) return start_held<T, kForm, 4>(typed, chunks, place);
  if constexpr (kForm == Form::plain && sizeof(T) == 2)  // what else it would hold leaves no registers
    if (wide && chunks <= common::kRowOfEight) return start_held<T, kForm, 8>(typed, chunks, place);
  return common::start_rows(reinterpret_cast<const void*>(&quantize_any<T, kForm>), typed, o.cols, place);
}

template <class T>
cudaError_t choose_form(const Operands& o, const Place& place) {
  if (o.weight == nullptr) return choose<T, Form::plain>(o, place);
  return o.residual == nullptr ? choose<T, Form::norm>(o, place) : choose<T, Form::fused_add>(o, place);
}

}  // namespace

const char* launch(const Operands& o, Place place) {
  if (o.rows == 0) return nullptr;
  return common::launch_typed(o.type, place, [&]<class T>() { return choose_form<T>(o, place); });
}

}  // namespace kernels::quantize_fp8
