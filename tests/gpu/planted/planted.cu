// Functions (out, x) that should copy x to out, on a GPU, and do something else: what `kernels bench` must
// name.

#include <cstdint>
#include <cstdlib>

#include <cuda_runtime_api.h>
#include <unistd.h>

#include "kernels/runtime/tvm_ffi_abi.h"

using kernels::tvm_ffi::Any;
using kernels::tvm_ffi::Tensor;

extern "C" void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message);
extern "C" void* TVMFFIEnvGetStream(std::int32_t device_type, std::int32_t device_id);

namespace {

constexpr unsigned kThreads = 256;

struct Rows {
  float* out;
  const float* x;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t out_stride;
  std::int64_t x_stride;
  cudaStream_t stream;
  __host__ __device__ std::int64_t elements() const { return rows * cols; }
  unsigned blocks() const { return static_cast<unsigned>((elements() + kThreads - 1) / kThreads); }
};

__global__ void copy_kernel(Rows r, std::int64_t elements) {
  const std::int64_t i =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) % (elements > 0 ? elements : 1);
  r.out[i / r.cols * r.out_stride + i % r.cols] = r.x[i / r.cols * r.x_stride + i % r.cols];
}

/// The same, with the indices that it needs anyway: blocks of one row each.
__global__ void wrong_kernel(Rows r) {
  const std::int64_t last = r.elements() - 1;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i > last) return;
  r.out[i / r.cols * r.out_stride + i % r.cols] =
      r.x[i / r.cols * r.x_stride + i % r.cols] + (i == last ? 1.0F : 0.0F);
}

/// Each thread hands its element to another one of the block, and nobody waits for anybody.
__global__ void race_kernel(Rows r) {
  __shared__ float tile[kThreads];
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * blockDim.x;
  const unsigned other = kThreads - 1 - threadIdx.x;
  // Some warps are late, by another time in each block and launch.
  if (threadIdx.x < kThreads / 2 && (clock64() & 64) != 0) __nanosleep(2000);
  const std::int64_t i = begin + threadIdx.x;
  if (i < r.elements()) tile[threadIdx.x] = r.x[i / r.cols * r.x_stride + i % r.cols];
  const float theirs = static_cast<const volatile float*>(tile)[other];
  const std::int64_t j = begin + other;
  if (j < r.elements()) r.out[j / r.cols * r.out_stride + j % r.cols] = theirs;
}

__global__ void illegal_kernel(Rows r) {
  reinterpret_cast<volatile float*>(static_cast<std::uintptr_t>(16))[threadIdx.x] = r.x[0];
}

__global__ void endless_kernel(Rows r) {
  while (*const_cast<volatile const float*>(r.x) < 1e30F) {
  }
}

cudaError_t launch(const Rows& r, unsigned blocks) {
  if (r.elements() == 0) return cudaSuccess;
  copy_kernel<<<blocks, kThreads, 0, r.stream>>>(r, r.elements());
  return cudaGetLastError();
}

cudaError_t copy(Rows r) {
  return launch(r, r.blocks());
}
/// Four percent more blocks, which do again what others have done, in part from the cache: 3 % more time.
cudaError_t slower(Rows r) {
  return launch(r, r.blocks() + r.blocks() / 25);
}
cudaError_t one_wrong(Rows r) {
  if (r.elements() > 0) wrong_kernel<<<r.blocks(), kThreads, 0, r.stream>>>(r);
  return cudaGetLastError();
}
cudaError_t race(Rows r) {
  if (r.elements() > 0) race_kernel<<<r.blocks(), kThreads, 0, r.stream>>>(r);
  return cudaGetLastError();
}
cudaError_t ignores_stream(Rows r) {
  r.stream = nullptr;
  return copy(r);
}
cudaError_t allocates(Rows r) {
  void* memory = nullptr;
  if (const auto error = cudaMalloc(&memory, 1 << 20); error != cudaSuccess) return error;
  const auto error = copy(r);
  cudaFree(memory);
  return error;
}
cudaError_t waits(Rows r) {
  if (const auto error = copy(r); error != cudaSuccess) return error;
  return cudaStreamSynchronize(r.stream);
}
cudaError_t sleeps(Rows r) {
  usleep(20'000);
  return copy(r);
}
cudaError_t leaves(Rows) {
  std::_Exit(3);
}
cudaError_t crashes(Rows) {
  std::abort();
}
cudaError_t illegal(Rows r) {
  illegal_kernel<<<1, 32, 0, r.stream>>>(r);
  return cudaGetLastError();
}
cudaError_t hangs(Rows r) {
  if (r.elements() > 0) endless_kernel<<<1, 1, 0, r.stream>>>(r);
  return cudaGetLastError();
}

const Tensor* tensor_of(const Any& any) {
  return reinterpret_cast<const Tensor*>(static_cast<const char*>(any.as_pointer) +
                                         sizeof(kernels::tvm_ffi::Object));
}

int run(const Any* args, std::int32_t count, Any* result, cudaError_t (*function)(Rows)) {
  if (count != 2) {
    TVMFFIErrorSetRaisedFromCStr("TypeError",
                                 "Mismatched number of arguments when calling: `f(0: DLTensor*, 1: "
                                 "DLTensor*) -> None`. Expected 2 arguments");
    return -1;
  }
  const Tensor* out = tensor_of(args[0]);
  const Tensor* x = tensor_of(args[1]);
  const Rows rows{static_cast<float*>(out->data),
                  static_cast<const float*>(x->data),
                  out->shape[0],
                  out->shape[1],
                  out->strides[0],
                  x->strides[0],
                  static_cast<cudaStream_t>(TVMFFIEnvGetStream(2, out->device.id))};
  const auto error = function(rows);
  *result = Any{};
  if (error == cudaSuccess) return 0;
  TVMFFIErrorSetRaisedFromCStr("RuntimeError", cudaGetErrorString(error));
  return -1;
}

}  // namespace

#define EXPORT(name)                                                                                        \
  extern "C" __attribute__((visibility("default"))) int __tvm_ffi_##name(void*, const Any* args,            \
                                                                         std::int32_t count, Any* result) { \
    return run(args, count, result, name);                                                                  \
  }

EXPORT(copy)
EXPORT(slower)
EXPORT(one_wrong)
EXPORT(race)
EXPORT(ignores_stream)
EXPORT(allocates)
EXPORT(waits)
EXPORT(sleeps)
EXPORT(leaves)
EXPORT(crashes)
EXPORT(illegal)
EXPORT(hangs)

/// The reference, on the CPU in float64.
extern "C" __attribute__((visibility("default"))) int __tvm_ffi_reference(void*, const Any* args,
                                                                          std::int32_t count, Any* result) {
  if (count != 2) return run(args, count, result, copy);
  const Tensor* out = tensor_of(args[0]);
  const Tensor* x = tensor_of(args[1]);
  for (std::int64_t r = 0; r < out->shape[0]; ++r)
    for (std::int64_t c = 0; c < out->shape[1]; ++c)
      static_cast<double*>(out->data)[r * out->strides[0] + c] =
          static_cast<const double*>(x->data)[r * x->strides[0] + c];
  *result = Any{};
  return 0;
}
