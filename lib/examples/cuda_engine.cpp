#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iostream>

#include "cuda_math.h"
#include "engine.h"

namespace example {

namespace {

using kernels::layers::DlDevice;

constexpr DlDevice kCuda{kernels::tvm_ffi::kCuda, 0};

cuda::Matrix matrix(const Tensor& tensor) {
  return {.data = tensor.data(),
          .rows = static_cast<int>(tensor.sizes()[0]),
          .columns = static_cast<int>(tensor.sizes()[1])};
}

std::uint16_t to_bfloat16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

class CudaEngine final : public Engine {
 public:
  std::string device() const override { return "cuda"; }
  std::string description() const override { return std::string(cuda::device_name()) + ", bfloat16, cuBLAS"; }
  DataType type() const override { return kernels::layers::kBfloat16; }
  void* stream() const override { return cuda::stream(); }

  Tensor allocate(const TensorSpec& spec) override {
    std::uint64_t bytes = kernels::layers::bytes_of(spec.type);
    for (auto size : spec.sizes)
      bytes *= static_cast<std::uint64_t>(size);
    void* memory = cuda::allocate(bytes);
    if (memory == nullptr) return {};
    return Tensor::own(memory, {.type = spec.type, .sizes = spec.sizes, .device = kCuda},
                       [memory] { cuda::release(memory); });
  }

  Tensor upload(const std::vector<float>& values, Sizes sizes) override {
    std::vector<std::uint16_t> rounded(values.size());
    std::ranges::transform(values, rounded.begin(), to_bfloat16);
    auto out = allocate({.type = type(), .device = kCuda, .sizes = sizes});
    cuda::to_device(out.data(), rounded.data(), rounded.size() * sizeof(std::uint16_t));
    return out;
  }

  std::vector<float> download(const Tensor& tensor) override {
    std::vector<std::uint16_t> rounded(tensor.elements());
    cuda::to_host(rounded.data(), tensor.data(), rounded.size() * sizeof(std::uint16_t));
    synchronize();
    std::vector<float> out(rounded.size());
    std::ranges::transform(rounded, out.begin(), [](std::uint16_t bits) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
    });
    return out;
  }

  /// An example has nobody to tell of a broken device but its user.
  void synchronize() override {
    const char* error = cuda::synchronize();
    if (error == nullptr) return;
    std::cerr << "error: " << error << "\n";
    std::exit(2);
  }

  void matmul(const Tensor& x, const Tensor& weight, const Tensor& out) override {
    cuda::matmul(matrix(x), matrix(weight), matrix(out));
  }
  void attention(const Tensor& q, const Tensor& k, const Tensor& v, Heads heads, const Tensor& out) override {
    cuda::attention(matrix(q), matrix(k), matrix(v), heads.count, static_cast<int>(heads.sequence),
                    matrix(out));
  }
  void add(const Tensor& to, const Tensor& x) override { cuda::add(matrix(to), matrix(x)); }
  void rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) override {
    cuda::rms_norm(matrix(x), weight.data(), static_cast<float>(eps), matrix(out));
  }
  void silu_and_mul(const Tensor& x, const Tensor& out) override {
    cuda::silu_and_mul(matrix(x), matrix(out));
  }
};

}  // namespace

Result<std::unique_ptr<Engine>> make_cuda_engine() {
  if (const char* error = cuda::start())
    return kernels::fail(kernels::Errc::unsupported, std::string("CUDA: ") + error);
  return std::make_unique<CudaEngine>();
}

}  // namespace example
