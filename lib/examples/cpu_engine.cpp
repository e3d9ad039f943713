#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine.h"

namespace example {

namespace {

std::int64_t rows(const Tensor& tensor) {
  return tensor.sizes()[0];
}
std::int64_t columns(const Tensor& tensor) {
  return tensor.sizes()[1];
}
float* data(const Tensor& tensor) {
  return static_cast<float*>(tensor.data());
}

class CpuEngine final : public Engine {
 public:
  std::string device() const override { return "cpu"; }
  std::string description() const override { return "CPU, float32, plain loops"; }
  DataType type() const override { return kernels::layers::kFloat32; }
  Tensor allocate(const TensorSpec& spec) override { return kernels::layers::allocate_on_cpu(spec); }
  void synchronize() override {}

  Tensor upload(const std::vector<float>& values, Sizes sizes) override {
    auto out = allocate({.type = type(), .device = kernels::layers::kCpuDevice, .sizes = sizes});
    std::ranges::copy(values, data(out));
    return out;
  }

  std::vector<float> download(const Tensor& tensor) override {
    return {data(tensor), data(tensor) + tensor.elements()};
  }

  void matmul(const Tensor& x, const Tensor& weight, const Tensor& out) override {
    auto depth = columns(x);
    for (std::int64_t r = 0; r < rows(x); ++r)
      for (std::int64_t n = 0; n < rows(weight); ++n) {
        const float* left = data(x) + r * depth;
        const float* right = data(weight) + n * depth;
        float sum = 0;
        for (std::int64_t k = 0; k < depth; ++k)
          sum += left[k] * right[k];
        data(out)[r * rows(weight) + n] = sum;
      }
  }

  void attention(const Tensor& q, const Tensor& k, const Tensor& v, Heads heads, const Tensor& out) override {
    auto width = columns(q) / heads.count;
    std::vector<float> scores(static_cast<std::size_t>(rows(q)));
    for (std::int64_t head = 0; head < heads.count; ++head)
      for (std::int64_t r = 0; r < rows(q); ++r)
        attend(
            q, k, v,
            {.row = r, .begin = r / heads.sequence * heads.sequence, .first = head * width, .width = width},
            scores, out);
  }

  void add(const Tensor& to, const Tensor& x) override {
    for (std::uint64_t i = 0; i < x.elements(); ++i)
      data(to)[i] += data(x)[i];
  }

  void rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) override {
    for (std::int64_t r = 0; r < rows(x); ++r) {
      const float* in = data(x) + r * columns(x);
      float* to = data(out) + r * columns(x);
      double sum = 0;
      for (std::int64_t c = 0; c < columns(x); ++c)
        sum += static_cast<double>(in[c]) * in[c];
      auto factor = static_cast<float>(1 / std::sqrt(sum / static_cast<double>(columns(x)) + eps));
      for (std::int64_t c = 0; c < columns(x); ++c)
        to[c] = in[c] * factor * data(weight)[c];
    }
  }

  void silu_and_mul(const Tensor& x, const Tensor& out) override {
    auto width = columns(out);
    for (std::int64_t r = 0; r < rows(x); ++r)
      for (std::int64_t c = 0; c < width; ++c) {
        float gate = data(x)[r * 2 * width + c];
        data(out)[r * width + c] = gate / (1 + std::exp(-gate)) * data(x)[r * 2 * width + width + c];
      }
  }

 private:
  struct Query {
    std::int64_t row;
    std::int64_t begin;  // of its sequence
    std::int64_t first;  // column of its head
    std::int64_t width;
  };

  /// One row of one head.
  static void attend(const Tensor& q, const Tensor& k, const Tensor& v, Query query,
                     std::vector<float>& scores, const Tensor& out) {
    const float* own = data(q) + query.row * columns(q) + query.first;
    float most = -INFINITY;
    for (std::int64_t past = query.begin; past <= query.row; ++past) {
      const float* key = data(k) + past * columns(k) + query.first;
      float score = 0;
      for (std::int64_t c = 0; c < query.width; ++c)
        score += own[c] * key[c];
      score /= std::sqrt(static_cast<float>(query.width));
      scores[static_cast<std::size_t>(past)] = score;
      most = std::max(most, score);
    }
    float sum = 0;
    float* to = data(out) + query.row * columns(out) + query.first;
    std::fill_n(to, query.width, 0.0F);
    for (std::int64_t past = query.begin; past <= query.row; ++past) {
      float part = std::exp(scores[static_cast<std::size_t>(past)] - most);
      sum += part;
      const float* value = data(v) + past * columns(v) + query.first;
      for (std::int64_t c = 0; c < query.width; ++c)
        to[c] += part * value[c];
    }
    for (std::int64_t c = 0; c < query.width; ++c)
      to[c] /= sum;
  }
};

}  // namespace

std::unique_ptr<Engine> make_cpu_engine() {
  return std::make_unique<CpuEngine>();
}

}  // namespace example
