#pragma once

// Layers of models as a C++ engine would write them, with plain loops as their own forward, and kernels to
// put in their place: the real library of this build under declarations of the test's own.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "kernels/layers/kernelize.h"
#include "kernels/layers/mapping.h"
#include "kernels/layers/module.h"
#include "kernels/ops/kernel_source.h"

#include "support/hub_tree.h"
#include "support/temp_folder.h"

namespace kernels::test {

using layers::Layer;
using layers::Module;
using layers::Tensor;

inline Tensor floats(layers::Sizes sizes, const std::vector<float>& values) {
  auto out =
      layers::allocate_on_cpu({.type = layers::kFloat32, .device = layers::kCpuDevice, .sizes = sizes});
  std::memcpy(out.data(), values.data(), values.size() * sizeof(float));
  return out;
}

inline std::vector<float> values_of(const Tensor& tensor) {
  const auto* data = static_cast<const float*>(tensor.data());
  return {data, data + tensor.elements()};
}

/// Counts how often its own forward ran: what a kernel replaces.
class SiluAndMul : public Layer<Tensor(const Tensor&)> {
 public:
  explicit SiluAndMul(std::string name = "SiluAndMul", layers::Condition condition = {}) {
    use_kernel_forward_from_hub(std::move(name), std::move(condition));
  }
  Result<Tensor> forward(const Tensor& x) const override {
    ++own_calls;
    auto spec = x.spec();
    spec.sizes.back() /= 2;
    auto out = layers::allocate_on_cpu(spec);
    auto width = spec.sizes.back();
    const auto* in = static_cast<const float*>(x.data());
    auto* to = static_cast<float*>(out.data());
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(out.elements()) / width; ++row)
      for (std::int64_t i = 0; i < width; ++i) {
        float gate = in[row * 2 * width + i];
        to[row * width + i] = gate / (1 + std::exp(-gate)) * in[row * 2 * width + width + i];
      }
    return out;
  }
  mutable int own_calls = 0;
};

class RMSNorm : public Layer<Tensor(const Tensor&)> {
 public:
  explicit RMSNorm(Tensor weights, double eps = 1e-6) : weight(std::move(weights)), variance_epsilon(eps) {
    use_kernel_forward_from_hub("RMSNorm");
    register_parameter("weight", weight);
    register_attribute("variance_epsilon", variance_epsilon);
  }
  Result<Tensor> forward(const Tensor& x) const override {
    ++own_calls;
    auto out = layers::allocate_on_cpu(x.spec());
    auto width = x.sizes().back();
    const auto* in = static_cast<const float*>(x.data());
    const auto* scale = static_cast<const float*>(weight.data());
    auto* to = static_cast<float*>(out.data());
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(x.elements()) / width; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < width; ++i)
        sum += static_cast<double>(in[row * width + i]) * in[row * width + i];
      double factor = 1 / std::sqrt(sum / static_cast<double>(width) + variance_epsilon);
      for (std::int64_t i = 0; i < width; ++i)
        to[row * width + i] = static_cast<float>(in[row * width + i] * factor * scale[i]);
    }
    return out;
  }
  Tensor weight;
  double variance_epsilon;
  mutable int own_calls = 0;
};

/// A module with children and nothing else.
class Sequential : public Module {};

/// A repository folder with one CPU variant: the activation library of this build under another declaration.
/// `flags` are lines such as `has_backward = true`.
inline fs::path make_repository(const fs::path& folder, const std::string& flags,
                                const std::string& name = "SiluAndMul") {
  fs::path build = hub_folder() / "activation/build";
  for (const auto& variant : built_variants()) {
    if (variant.kernel != "activation" || variant.cuda) continue;
    auto to = folder / "build" / variant.folder.filename();
    fs::create_directories(to);
    fs::copy_file(variant.library, to / variant.library.filename(), fs::copy_options::overwrite_existing);
    put(to / "layers.toml", "schema = 1\n[[layers]]\nname = \"" + name +
                                "\"\nfunction = \"silu_and_mul\"\nforward = [{name = \"x\"}]\n"
                                "outputs = [{name = \"out\", like = \"x\", divide_last = 2}]\n"
                                "arguments = [\"out\", \"x\"]\nreturns = [\"out\"]\n" +
                                flags +
                                "\n[layers.tolerance]\nfloat32 = {relative = 1e-5, absolute = 1e-6}\n");
  }
  return folder;
}

/// What most tests kernelize with.
inline layers::KernelizeOptions inference() {
  return {.mode = Mode::inference, .device = "cpu"};
}

/// The source of this project with a cache and a Hub of the test's own. Kernels of the CPU of this machine.
inline std::shared_ptr<layers::KernelSource> source(const fs::path& cache, const std::string& endpoint,
                                                    bool offline = false) {
  hub::Settings settings;
  settings.endpoint = endpoint;
  settings.cache = cache;
  settings.offline = offline;
  settings.max_retries = 1;
  return ops::hub_kernel_source({.settings = settings, .provider = provider_path()});
}

/// For kernels in folders: no Hub is there to be asked.
inline void use_local_source() {
  layers::set_kernel_source(source("/nonexistent", "http://127.0.0.1:1", true));
}

inline layers::KernelMapping map_to(layers::Repository repository, const std::string& layer = "SiluAndMul",
                                    const std::string& device = "cpu") {
  return {{layer, {{layers::Device(device), layers::ModeRepositories(std::move(repository))}}}};
}

}  // namespace kernels::test
