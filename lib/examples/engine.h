#pragma once

// What an inference engine brings along: memory and mathematics on one device. Written for the example, to be
// read; the layers of the model (model.h) and `kernelize` see tensors only.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/layers/tensor.h"

namespace example {

using kernels::Result;
using kernels::layers::DataType;
using kernels::layers::Sizes;
using kernels::layers::Tensor;
using kernels::layers::TensorSpec;

/// Everything is [rows, columns], dense, in the engine's own type.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  /// As `kernelize` names the device.
  virtual std::string device() const = 0;
  virtual std::string description() const = 0;
  virtual DataType type() const = 0;
  virtual Tensor allocate(const TensorSpec& spec) = 0;
  virtual Tensor upload(const std::vector<float>& values, Sizes sizes) = 0;
  virtual std::vector<float> download(const Tensor& tensor) = 0;
  virtual void synchronize() = 0;
  /// On which the work is queued; null on the CPU.
  virtual void* stream() const { return nullptr; }

  /// out[r, n] = Σ x[r, k] · weight[n, k]
  virtual void matmul(const Tensor& x, const Tensor& weight, const Tensor& out) = 0;
  /// What a row looks at: rows before it in its own sequence of that many rows.
  struct Heads {
    int count;
    std::int64_t sequence;
  };
  /// Causal, each head on its own columns.
  virtual void attention(const Tensor& q, const Tensor& k, const Tensor& v, Heads heads,
                         const Tensor& out) = 0;
  virtual void add(const Tensor& to, const Tensor& x) = 0;
  virtual void rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) = 0;
  /// out[r, c] = silu(x[r, c]) · x[r, columns/2 + c]
  virtual void silu_and_mul(const Tensor& x, const Tensor& out) = 0;
};

/// float32 in plain memory, plain loops.
std::unique_ptr<Engine> make_cpu_engine();
/// bfloat16 in device memory: cuBLAS for products, simple kernels for the rest. Errors  unsupported: no
/// device, or built without a CUDA compiler.
Result<std::unique_ptr<Engine>> make_cuda_engine();

}  // namespace example
