#pragma once

// The CUDA side of the example's engine, in plain types: nvcc's C++ is older than the library's. All data is
// bfloat16, dense, on one stream. What fails is told by the next `synchronize`.

#include <cstddef>

namespace example::cuda {

/// Prepares the first device. Null, or why that is not possible.
const char* start();
const char* device_name();
void* stream();
/// Null, or what went wrong since the last call.
const char* synchronize();

void* allocate(std::size_t bytes);
void release(void* memory);
void to_device(void* to, const void* from, std::size_t bytes);
void to_host(void* to, const void* from, std::size_t bytes);

struct Matrix {
  void* data;
  int rows;
  int columns;
};

void matmul(Matrix x, Matrix weight, Matrix out);
void attention(Matrix q, Matrix k, Matrix v, int heads, int sequence, Matrix out);
void add(Matrix to, Matrix x);
void rms_norm(Matrix x, const void* weight, float eps, Matrix out);
void silu_and_mul(Matrix x, Matrix out);

}  // namespace example::cuda
