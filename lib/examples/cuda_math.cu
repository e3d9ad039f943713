#include <cmath>
#include <map>
#include <vector>

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "cuda_math.h"

namespace example::cuda {

namespace {

using Value = __nv_bfloat16;

constexpr int kThreads = 256;

struct State {
  cudaStream_t stream = nullptr;
  cublasHandle_t cublas = nullptr;
  cudaDeviceProp properties{};
  const char* error = nullptr;
  std::map<std::size_t, std::vector<void*>>
      free;  // by size: an engine does not ask the driver for each tensor
  std::map<void*, std::size_t> sizes;
};

State& state() {
  static State all;
  return all;
}

void note(cudaError_t result) {
  if (result != cudaSuccess && state().error == nullptr) state().error = cudaGetErrorString(result);
}
void note(cublasStatus_t result) {
  if (result != CUBLAS_STATUS_SUCCESS && state().error == nullptr)
    state().error = cublasGetStatusString(result);
}

__device__ float block_sum(float value) {
  __shared__ float parts[kThreads];
  parts[threadIdx.x] = value;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) parts[threadIdx.x] += parts[threadIdx.x + step];
    __syncthreads();
  }
  float sum = parts[0];
  __syncthreads();
  return sum;
}

__global__ void rms_norm_rows(const Value* x, const Value* weight, float eps, Value* out, int columns) {
  const Value* in = x + static_cast<std::size_t>(blockIdx.x) * columns;
  Value* to = out + static_cast<std::size_t>(blockIdx.x) * columns;
  float squares = 0;
  for (int c = threadIdx.x; c < columns; c += kThreads) {
    float value = __bfloat162float(in[c]);
    squares += value * value;
  }
  float factor = rsqrtf(block_sum(squares) / static_cast<float>(columns) + eps);
  for (int c = threadIdx.x; c < columns; c += kThreads)
    to[c] = __float2bfloat16(__bfloat162float(in[c]) * factor * __bfloat162float(weight[c]));
}

__global__ void silu_and_mul_rows(const Value* x, Value* out, int width) {
  const Value* in = x + static_cast<std::size_t>(blockIdx.x) * 2 * width;
  Value* to = out + static_cast<std::size_t>(blockIdx.x) * width;
  for (int c = threadIdx.x; c < width; c += kThreads) {
    float gate = __bfloat162float(in[c]);
    to[c] = __float2bfloat16(gate / (1 + expf(-gate)) * __bfloat162float(in[width + c]));
  }
}

__global__ void add_values(Value* to, const Value* x, std::size_t count) {
  std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = __float2bfloat16(__bfloat162float(to[i]) + __bfloat162float(x[i]));
}

/// One block for a row of scores: [heads, sequence, sequence], causal.
__global__ void softmax_rows(Value* scores, int sequence) {
  Value* row = scores + (static_cast<std::size_t>(blockIdx.y) * sequence + blockIdx.x) * sequence;
  int known = static_cast<int>(blockIdx.x) + 1;
  float most = -INFINITY;
  for (int c = 0; c < known; ++c)
    most = fmaxf(most, __bfloat162float(row[c]));
  float part = 0;
  for (int c = threadIdx.x; c < known; c += kThreads)
    part += expf(__bfloat162float(row[c]) - most);
  float sum = block_sum(part);
  for (int c = threadIdx.x; c < sequence; c += kThreads)
    row[c] = __float2bfloat16(c < known ? expf(__bfloat162float(row[c]) - most) / sum : 0);
}

Value* values(Matrix matrix) {
  return static_cast<Value*>(matrix.data);
}

}  // namespace

const char* start() {
  auto& all = state();
  note(cudaSetDevice(0));
  note(cudaGetDeviceProperties(&all.properties, 0));
  note(cudaStreamCreateWithFlags(&all.stream, cudaStreamNonBlocking));
  if (all.error != nullptr) return all.error;
  note(cublasCreate(&all.cublas));
  if (all.error == nullptr) note(cublasSetStream(all.cublas, all.stream));
  return all.error;
}

const char* device_name() {
  return state().properties.name;
}

void* stream() {
  return state().stream;
}

const char* synchronize() {
  note(cudaStreamSynchronize(state().stream));
  note(cudaGetLastError());
  const char* error = state().error;
  state().error = nullptr;
  return error;
}

void* allocate(std::size_t bytes) {
  auto& all = state();
  auto& same = all.free[bytes];
  void* memory = nullptr;
  if (same.empty()) {
    note(cudaMalloc(&memory, bytes == 0 ? 1 : bytes));
    all.sizes[memory] = bytes;
  } else {
    memory = same.back();
    same.pop_back();
  }
  return memory;
}

void release(void* memory) {
  auto& all = state();
  all.free[all.sizes[memory]].push_back(memory);
}

void to_device(void* to, const void* from, std::size_t bytes) {
  note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, state().stream));
  note(cudaStreamSynchronize(state().stream));
}

void to_host(void* to, const void* from, std::size_t bytes) {
  note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, state().stream));
  note(cudaStreamSynchronize(state().stream));
}

void matmul(Matrix x, Matrix weight, Matrix out) {
  float one = 1;
  float zero = 0;
  // cuBLAS counts columns first, so it sees outᵀ = weight · xᵀ.
  note(cublasGemmEx(state().cublas, CUBLAS_OP_T, CUBLAS_OP_N, weight.rows, x.rows, x.columns, &one,
                    weight.data, CUDA_R_16BF, weight.columns, x.data, CUDA_R_16BF, x.columns, &zero, out.data,
                    CUDA_R_16BF, out.columns, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

/// Sequence by sequence, all heads at once.
void attention(Matrix q, Matrix k, Matrix v, int heads, int sequence, Matrix out) {
  int width = q.columns / heads;
  auto scores_bytes = static_cast<std::size_t>(heads) * static_cast<std::size_t>(sequence) *
                      static_cast<std::size_t>(sequence) * sizeof(Value);
  auto* scores = static_cast<Value*>(allocate(scores_bytes));
  float scale = 1 / sqrtf(static_cast<float>(width));
  float one = 1;
  float zero = 0;
  for (int row = 0; row < q.rows; row += sequence) {
    int rows = q.rows - row < sequence ? q.rows - row : sequence;
    auto first = static_cast<std::size_t>(row) * static_cast<std::size_t>(q.columns);
    long long step = static_cast<long long>(rows) * rows;
    note(cublasGemmStridedBatchedEx(state().cublas, CUBLAS_OP_T, CUBLAS_OP_N, rows, rows, width, &scale,
                                    values(k) + first, CUDA_R_16BF, k.columns, width, values(q) + first,
                                    CUDA_R_16BF, q.columns, width, &zero, scores, CUDA_R_16BF, rows, step,
                                    heads, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    softmax_rows<<<dim3(static_cast<unsigned>(rows), static_cast<unsigned>(heads)), kThreads, 0,
                   state().stream>>>(scores, rows);
    note(cublasGemmStridedBatchedEx(state().cublas, CUBLAS_OP_N, CUBLAS_OP_N, width, rows, rows, &one,
                                    values(v) + first, CUDA_R_16BF, v.columns, width, scores, CUDA_R_16BF,
                                    rows, step, &zero, values(out) + first, CUDA_R_16BF, out.columns, width,
                                    heads, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  }
  release(scores);
}

void add(Matrix to, Matrix x) {
  auto count = static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(x.columns);
  auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  add_values<<<blocks, kThreads, 0, state().stream>>>(values(to), values(x), count);
}

void rms_norm(Matrix x, const void* weight, float eps, Matrix out) {
  rms_norm_rows<<<static_cast<unsigned>(x.rows), kThreads, 0, state().stream>>>(
      values(x), static_cast<const Value*>(weight), eps, values(out), x.columns);
}

void silu_and_mul(Matrix x, Matrix out) {
  silu_and_mul_rows<<<static_cast<unsigned>(x.rows), kThreads, 0, state().stream>>>(values(x), values(out),
                                                                                    out.columns);
}

}  // namespace example::cuda
