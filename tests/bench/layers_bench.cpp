// What layers cost: `kernelize` of a large model once its kernels are loaded, and a call through a layer
// beside a call of the kernel's own function pointer with the same arguments. `make bench-layers` prints
// both; figures, not tests.

#include <array>
#include <cstdio>
#include <cstdlib>

#include <benchmark/benchmark.h>

#include "kernels/layers/kernelize.h"
#include "kernels/ops/kernel_source.h"
#include "kernels/runtime/library.h"

#include "support/hub_tree.h"

using namespace kernels;
using namespace kernels::layers;

namespace {

class SiluAndMul : public Layer<Tensor(const Tensor&)> {
 public:
  explicit SiluAndMul(std::string name) { use_kernel_forward_from_hub(std::move(name)); }
  Result<Tensor> forward(const Tensor& x) const override { return x; }
};

/// Two columns in one row: the kernel itself does next to nothing.
Tensor tiny(std::int64_t columns) {
  auto out = allocate_on_cpu({.type = kFloat32, .device = kCpuDevice, .sizes = {1, columns}});
  for (std::int64_t i = 0; i < columns; ++i)
    static_cast<float*>(out.data())[i] = 1;
  return out;
}

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", describe(result.error()).c_str());
  std::exit(1);
}

test::fs::path cpu_library() {
  for (const auto& variant : test::built_variants())
    if (variant.kernel == "activation" && !variant.cuda) return variant.library;
  std::exit(1);
}

void prepare() {
  hub::Settings settings;
  settings.cache = "/nonexistent";
  settings.offline = true;
  set_kernel_source(ops::hub_kernel_source({.settings = settings, .provider = test::provider_path()}));
}

std::string name_of(int i) {
  return "Layer" + std::to_string(i);
}

/// `names` layers are mapped, each to a kernel of this build.
KernelMapping mapping_of(int names) {
  KernelMapping out;
  for (int i = 0; i < names; ++i)
    out.push_back({name_of(i),
                   {{"cpu", LocalLayerRepository{.repo_path = test::hub_folder() / "activation",
                                                 .layer_name = "SiluAndMul"}}}});
  return out;
}

void kernelize_model(benchmark::State& state) {
  constexpr int kNames = 100;
  prepare();
  auto scope = must(use_kernel_mapping(mapping_of(kNames), InheritMapping::no));
  class Model : public Module {
  } model;
  for (int i = 0; i < state.range(0); ++i)
    model.register_module("layer" + std::to_string(i), std::make_shared<SiluAndMul>(name_of(i % kNames)));
  KernelizeOptions options{.mode = Mode::inference, .device = "cpu"};
  must(kernelize(model, options));
  for (auto _ : state)
    benchmark::DoNotOptimize(must(kernelize(model, options)));
}
BENCHMARK(kernelize_model)->Arg(10'000)->Unit(benchmark::kMillisecond);

/// The kernel's function with arguments that were packed beforehand: the least that a call can cost.
void call_function_pointer(benchmark::State& state) {
  auto library = must(runtime::KernelLibrary::open(cpu_library(), test::provider_path()));
  auto function = must(library.function("silu_and_mul"));
  auto x = tiny(2);
  auto out = tiny(1);
  std::array<tvm_ffi::Any, 2> arguments{};
  arguments[0].type_index = arguments[1].type_index = tvm_ffi::kTensor;
  arguments[0].as_pointer = out.object();
  arguments[1].as_pointer = x.object();
  for (auto _ : state)
    if (!function(arguments)) std::exit(1);
}
BENCHMARK(call_function_pointer);

/// The same through the layer; the engine's allocator hands out one tensor again and again.
void call_replaced_layer(benchmark::State& state) {
  prepare();
  auto scope = must(use_kernel_mapping(mapping_of(1), InheritMapping::no));
  SiluAndMul layer(name_of(0));
  auto out = tiny(1);
  must(kernelize(
      layer, {.mode = Mode::inference, .device = "cpu", .allocate = [&](const TensorSpec&) { return out; }}));
  auto x = tiny(2);
  for (auto _ : state)
    benchmark::DoNotOptimize(must(layer(x)));
}
BENCHMARK(call_replaced_layer);

}  // namespace

BENCHMARK_MAIN();
