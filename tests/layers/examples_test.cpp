// The examples in the documentation of the Python package's layers API, one by one, with the kernels of this
// build on the CPU in the place of published ones.

#include "kernels/layers/kernelize.h"

#include "models.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::layers;
using namespace kernels::test;

namespace {

LocalLayerRepository silu() {
  return {.repo_path = hub_folder() / "activation", .layer_name = "SiluAndMul"};
}

/// `nn.LayerNorm` of the examples: a class that one does not own, and that knows nothing of kernels.
class ForeignActivation : public Layer<Tensor(const Tensor&)> {
 public:
  Result<Tensor> forward(const Tensor& x) const override { return x; }
};

Result<Tensor> identity(const Tensor& x) {
  return x;
}

}  // namespace

TEST_CASE("examples: use_kernel_mapping applies a mapping for a scope", "[layers]") {
  use_local_source();
  KernelMapping mapping = {{"SiluAndMul", {{"cpu", silu()}}}};
  SiluAndMul model;
  {
    auto scope = use_kernel_mapping(mapping, InheritMapping::no);
    REQUIRE(scope);
    // The kernel has no backward: the example's mode leaves the layer as it is.
    auto training = kernelize(model, {.mode = Mode::training | Mode::torch_compile, .device = "cpu"});
    REQUIRE(training);
    CHECK(training->layers.at(0).outcome == Outcome::not_supported_by_kernel);
    REQUIRE(kernelize(model, {.mode = Mode::inference, .device = "cpu"}));
    CHECK(model.kernel());
  }
  auto outside = kernelize(model, {.mode = Mode::inference, .device = "cpu"});
  REQUIRE(outside);
  CHECK(outside->layers.at(0).outcome == Outcome::no_layer);
}

TEST_CASE("examples: register_kernel_mapping, simple and by mode", "[layers]") {
  use_local_source();
  LayerRepository training{
      .repo_id = "kernels-community/training-kernels", .layer_name = "TrainingAttention", .version = 1};
  LayerRepository inference{
      .repo_id = "kernels-community/inference-kernels", .layer_name = "FastAttention", .version = 1};
  REQUIRE(register_kernel_mapping(
      {{"LlamaRMSNorm",
        {{"cuda",
          LayerRepository{
              .repo_id = "kernels-community/layer_norm", .layer_name = "LlamaRMSNorm", .version = 1}}}},
       {"MultiHeadAttention", {{"cuda", {{Mode::training, training}, {Mode::inference, inference}}}}}},
      InheritMapping::no));
  SiluAndMul attention("MultiHeadAttention");
  auto chosen = [&](Mode mode) {
    auto done = kernelize(attention, {.mode = mode, .device = "cuda", .capability = 90});
    REQUIRE_FALSE(done);
    return describe(done.error());
  };
  CHECK_THAT(chosen(Mode::training), contains("kernels-community/training-kernels"));
  CHECK_THAT(chosen(Mode::inference), contains("kernels-community/inference-kernels"));
  REQUIRE(register_kernel_mapping({}, InheritMapping::no));
}

TEST_CASE("examples: devices with and without properties", "[layers]") {
  Device plain("cuda");
  CHECK(std::holds_alternative<std::monostate>(plain.properties));
  Device modern("cuda", CudaProperties{.min_capability = 75, .max_capability = 90});
  CHECK(std::get<CudaProperties>(modern.properties).min_capability == 75);
  for (const char* type : {"mps", "xpu", "npu", "rocm", "neuron", "tpu", "cpu"}) {
    auto scope = use_kernel_mapping(map_to(silu(), "SiluAndMul", type), InheritMapping::no);
    CHECK(scope);
  }
}

TEST_CASE("examples: kernels for ranges of capabilities, as for Ampere and Hopper", "[layers]") {
  use_local_source();
  auto published = [](const char* name) {
    return LayerRepository{.repo_id = name, .layer_name = "SiluAndMul", .version = 1};
  };
  auto scope = use_kernel_mapping(
      {{"SiluAndMul",
        {{Device("cuda", CudaProperties{.min_capability = 75, .max_capability = 89}),
          published("acme/older")},
         {Device("cuda", CudaProperties{.min_capability = 90}), published("acme/hopper")}}}},
      InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto chosen = [&](std::uint32_t capability) {
    auto done = kernelize(model, {.mode = Mode::inference, .device = "cuda", .capability = capability});
    return done ? to_string(done->layers.at(0).outcome) : describe(done.error());
  };
  CHECK_THAT(chosen(80), contains("acme/older"));
  CHECK_THAT(chosen(90), contains("acme/hopper"));
  CHECK(chosen(70) == "no-compatible-properties");
}

TEST_CASE("examples: a class that one does not own is made extensible by its name", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping({{"LayerNorm", {{"cpu", silu()}}}}, InheritMapping::no);
  REQUIRE(scope);
  ForeignActivation before;
  auto untouched = kernelize(before, {.mode = Mode::inference, .device = "cpu"});
  REQUIRE(untouched);
  CHECK(untouched->layers.empty());
  REQUIRE(replace_kernel_forward_from_hub<ForeignActivation>("LayerNorm"));
  CHECK_FALSE(replace_kernel_forward_from_hub<ForeignActivation>(""));
  ForeignActivation layer;
  REQUIRE(kernelize(layer, {.mode = Mode::inference, .device = "cpu"}));
  CHECK(layer.kernel());
  // A condition is asked for each instance.
  REQUIRE(replace_kernel_forward_from_hub<ForeignActivation>(
      "LayerNorm", [&](const Module& module) { return &module != &before; }));
  REQUIRE(kernelize(before, {.mode = Mode::inference, .device = "cpu"}));
  CHECK_FALSE(before.kernel());
}

TEST_CASE("examples: a function as a layer, attached to the module that uses it", "[layers]") {
  use_local_source();
  class LayerUsingIdentity : public Layer<Tensor(const Tensor&)> {
   public:
    LayerUsingIdentity() { use_kernelized_func(function); }
    Result<Tensor> forward(const Tensor& x) const override { return (*function)(x); }
    std::shared_ptr<Layer<Tensor(const Tensor&)>> function =
        use_kernel_func_from_hub("MyCustomLayer", &identity);
  };
  auto scope = use_kernel_mapping({{"MyCustomLayer", {{"cpu", silu()}}}}, InheritMapping::no);
  REQUIRE(scope);
  LayerUsingIdentity model;
  auto x = floats({1, 2}, {0, 1});
  CHECK(values_of(*model(x)).size() == 2);
  REQUIRE(kernelize(model, {.mode = Mode::inference, .device = "cpu"}));
  CHECK(values_of(*model(x)).size() == 1);  // silu_and_mul halves the columns
}

TEST_CASE("examples: a class derived from an extensible one is extensible", "[layers]") {
  use_local_source();
  class Derived : public SiluAndMul {};
  auto scope = use_kernel_mapping(map_to(silu()), InheritMapping::no);
  REQUIRE(scope);
  Derived model;
  REQUIRE(kernelize(model, {.mode = Mode::inference, .device = "cpu"}));
  CHECK(model.kernel());
}
