#include "activation/activation.cuh"
#include "common/launch.h"

namespace kernels::activation {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kMostRows = 0x7fffffff;
constexpr std::int64_t kMostPieces = 65535;

template <Activation kActivation, class T, int kWidth>
cudaError_t start(const Operands& o, cudaStream_t stream) {
  const std::int64_t vectors = o.cols / kWidth;
  const unsigned threads = common::round_to_warps(vectors, kThreads);
  const std::int64_t pieces = (vectors + threads - 1) / threads;
  const dim3 grid(static_cast<unsigned>(o.rows < kMostRows ? o.rows : kMostRows),
                  static_cast<unsigned>(pieces < kMostPieces ? pieces : kMostPieces));
  auto* out = static_cast<T*>(o.out);
  const auto* x = static_cast<const T*>(o.x);
  std::int64_t rows = o.rows;
  std::int64_t cols = o.cols;
  std::int64_t out_stride = o.out_stride;
  std::int64_t x_stride = o.x_stride;
  void* args[] = {&out, &x, &rows, &cols, &out_stride, &x_stride};
  return cudaLaunchKernel(reinterpret_cast<const void*>(&gated<kActivation, T, kWidth>), grid, dim3(threads),
                          args, 0, stream);
}

template <Activation kActivation, class T>
cudaError_t choose_width(const Operands& o, cudaStream_t stream) {
  constexpr int kWidth = 16 / sizeof(T);
  const std::int64_t size = sizeof(T);
  const bool wide = o.cols % kWidth == 0 &&
                    common::aligned_rows(o.out, o.rows > 1 ? o.out_stride : 0, size) &&
                    common::aligned_rows(o.x, o.rows > 1 ? o.x_stride : 0, size);
  return wide ? start<kActivation, T, kWidth>(o, stream) : start<kActivation, T, 1>(o, stream);
}

template <class T>
cudaError_t choose_activation(Activation activation, const Operands& o, cudaStream_t stream) {
  switch (activation) {
    case Activation::silu:
      return choose_width<Activation::silu, T>(o, stream);
    case Activation::gelu:
      return choose_width<Activation::gelu, T>(o, stream);
    default:
      return choose_width<Activation::gelu_tanh, T>(o, stream);
  }
}

}  // namespace

const char* launch(Activation activation, const Operands& o, Place place) {
  if (o.rows == 0 || o.cols == 0) return nullptr;
  const common::CurrentDevice current(place.device);
  cudaError_t error = current.error();
  const auto stream = static_cast<cudaStream_t>(place.stream);
  if (error == cudaSuccess) {
    switch (o.type) {
      case common::ElementType::float32:
        error = choose_activation<float>(activation, o, stream);
        break;
      case common::ElementType::float16:
        error = choose_activation<__half>(activation, o, stream);
        break;
      default:
        error = choose_activation<__nv_bfloat16>(activation, o, stream);
        break;
    }
  }
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace kernels::activation
