#include <array>
#include <random>
#include <tuple>

#include "kernels/base/file.h"
#include "kernels/layers/kernelize.h"

#include "models.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::layers;
using namespace kernels::test;

namespace {

LocalLayerRepository local(const char* kernel, const char* layer) {
  return {.repo_path = hub_folder() / kernel, .layer_name = layer};
}

std::vector<float> random_values(std::size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (auto& value : out)
    value = normal(random);
  return out;
}

/// The tolerance that the variant itself declares.
NativeTolerance declared_tolerance(const char* kernel, const char* layer) {
  for (const auto& variant : built_variants()) {
    if (variant.kernel != kernel || variant.cuda) continue;
    auto declared = parse_native_layers(*read_file(variant.folder / "layers.toml"), "layers.toml");
    REQUIRE(declared);
    return declared->find(layer)->tolerance.at("float32");
  }
  FAIL("no such variant");
  return {};
}

void check_close(const Tensor& got, const Tensor& expected, NativeTolerance tolerance) {
  auto left = values_of(got);
  auto right = values_of(expected);
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i)
    REQUIRE(std::abs(left[i] - right[i]) <=
            tolerance.absolute + tolerance.relative * std::abs(static_cast<double>(right[i])));
}

}  // namespace

TEST_CASE("layer: with and without the kernel the outputs agree within the declared tolerance", "[layers]") {
  auto seed = test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  use_local_source();
  auto mapping = map_to(local("activation", "SiluAndMul"));
  mapping.push_back(map_to(local("rmsnorm", "RMSNorm"), "RMSNorm").front());
  auto scope = use_kernel_mapping(mapping, InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul act;
  auto x = floats({5, 254}, random_values(5 * 254, random));
  auto own = act(x);
  REQUIRE(kernelize(act, inference()));
  auto replaced = act(x);
  REQUIRE(replaced);
  CHECK(act.own_calls == 1);
  CHECK(replaced->sizes()[1] == 127);
  check_close(*replaced, *own, declared_tolerance("activation", "SiluAndMul"));

  RMSNorm norm(floats({97}, random_values(97, random)), 1e-5);
  auto hidden = floats({3, 97}, random_values(3 * 97, random));
  auto expected = norm(hidden);
  REQUIRE(kernelize(norm, inference()));
  auto normed = norm(hidden);
  REQUIRE(normed);
  check_close(*normed, *expected, declared_tolerance("rmsnorm", "RMSNorm"));
  // The kernel sees the members as they are at the time of the call.
  norm.weight = floats({97}, random_values(97, random));
  norm.variance_epsilon = 0.5;
  auto changed = norm(hidden);
  REQUIRE(changed);
  check_close(*changed, *norm.forward(hidden), declared_tolerance("rmsnorm", "RMSNorm"));
}

namespace {

/// Two tensors in, both changed in place, both returned.
class FusedAddRMSNorm : public Layer<std::pair<Tensor, Tensor>(const Tensor&, const Tensor&)> {
 public:
  explicit FusedAddRMSNorm(Tensor weights) : weight(std::move(weights)) {
    use_kernel_forward_from_hub("FusedAddRMSNorm");
    register_parameter("weight", weight);
    register_attribute("eps", eps);
  }
  Result<std::pair<Tensor, Tensor>> forward(const Tensor&, const Tensor&) const override {
    return fail(Errc::unsupported, "only the kernel does this");
  }
  Tensor weight;
  double eps = 0;
};

Result<Tensor> own_rms_norm(const Tensor& x, const Tensor&, double) {
  return x;
}

}  // namespace

TEST_CASE("layer: a kernel that works in place returns the tensors that it was given", "[layers]") {
  use_local_source();
  auto scope =
      use_kernel_mapping(map_to(local("rmsnorm", "FusedAddRMSNorm"), "FusedAddRMSNorm"), InheritMapping::no);
  REQUIRE(scope);
  FusedAddRMSNorm norm(floats({2}, {1, 1}));
  REQUIRE(kernelize(norm, inference()));
  auto x = floats({1, 2}, {1, 2});
  auto residual = floats({1, 2}, {2, 2});
  auto out = norm(x, residual);
  REQUIRE(out);
  CHECK(out->first.data() == x.data());
  CHECK(out->second.data() == residual.data());
  CHECK(values_of(residual) == std::vector<float>{3, 4});
  CHECK(values_of(x)[0] == kernels::test::Approx(3 / std::sqrt(12.5)));
}

TEST_CASE("layer: a function can be a layer, found through the module that uses it", "[layers]") {
  use_local_source();
  FuncRepository unused{.repo_id = "acme/rmsnorm", .func_name = "rms_norm", .version = 1};
  CHECK(validate(Repository(unused)));
  auto scope = use_kernel_mapping(
      map_to(LocalFuncRepository{.repo_path = hub_folder() / "rmsnorm", .func_name = "rms_norm"}, "rms_norm"),
      InheritMapping::no);
  REQUIRE(scope);
  class Model : public Module {
   public:
    std::shared_ptr<Layer<Tensor(const Tensor&, const Tensor&, double)>> norm =
        use_kernel_func_from_hub("rms_norm", &own_rms_norm);
    explicit Model(bool attach) {
      if (attach) use_kernelized_func(norm);
    }
  };
  auto x = floats({1, 2}, {3, 4});
  auto weight = floats({2}, {1, 1});
  Model hidden(false);
  REQUIRE(kernelize(hidden, inference()));
  CHECK_FALSE(hidden.norm->kernel());
  Model model(true);
  auto report = kernelize(model, inference());
  REQUIRE(report);
  CHECK(report->layers.at(0).path == "rms_norm");
  auto out = (*model.norm)(x, weight, 0.0);
  REQUIRE(out);
  CHECK(values_of(*out)[0] == kernels::test::Approx(3 / std::sqrt(12.5)));
}

TEST_CASE("layer: a signature that differs from the kernel's is an error that names both", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(local("rmsnorm", "FusedAddRMSNorm")), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto done = kernelize(model, inference());
  REQUIRE_FALSE(done);
  auto text = describe(done.error());
  CHECK_THAT(text, contains("forward(tensor) -> tensor"));
  CHECK_THAT(text,
             contains("FusedAddRMSNorm.forward(hidden_states: tensor, residual: tensor) -> tensor, tensor"));
  CHECK_THAT(text, contains("`SiluAndMul`"));
  CHECK_THAT(text, contains("mode `inference`"));
}

TEST_CASE("layer: a member that the kernel needs and the layer lacks is named", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(local("rmsnorm", "RMSNorm")), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  auto done = kernelize(model, inference());
  REQUIRE_FALSE(done);
  CHECK_THAT(describe(done.error()), contains("tensor member `weight`"));
  CHECK_THAT(done.error().hint(), contains("register_parameter"));
}

TEST_CASE("layer: what a kernel does not take is an error of the call, and the next call works", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(local("activation", "SiluAndMul")), InheritMapping::no);
  REQUIRE(scope);
  SiluAndMul model;
  REQUIRE(kernelize(model, inference()));
  auto refused = [&](const Tensor& x, const std::string& text) {
    auto out = model(x);
    REQUIRE_FALSE(out);
    CHECK(out.error().code() == Errc::invalid_argument);
    CHECK_THAT(describe(out.error()), contains(text));
    CHECK_THAT(describe(out.error()), contains("silu_and_mul"));
  };
  refused(allocate_on_cpu({.type = {0, 32, 1}, .device = kCpuDevice, .sizes = {1, 4}}), "Error: ");
  refused(floats({1, 3}, {1, 2, 3}), "no multiple of 2");
  float memory[4] = {};
  std::array<std::int64_t, 2> sizes{1, 4};
  refused(Tensor::borrow(memory, {.type = kFloat32, .sizes = sizes, .device = {2, 0}}), "another device");
  refused(Tensor(), "not defined");
  CHECK(model(floats({1, 4}, {1, 2, 3, 4})));
}

TEST_CASE("layer: outputs come from the engine's allocator", "[layers]") {
  use_local_source();
  auto scope = use_kernel_mapping(map_to(local("activation", "SiluAndMul")), InheritMapping::no);
  REQUIRE(scope);
  int asked = 0;
  auto options = inference();
  options.allocate = [&](const TensorSpec& spec) {
    ++asked;
    return asked == 2 ? Tensor() : allocate_on_cpu(spec);
  };
  SiluAndMul model;
  REQUIRE(kernelize(model, options));
  CHECK(model(floats({1, 4}, {1, 2, 3, 4})));
  auto failed = model(floats({1, 4}, {1, 2, 3, 4}));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code() == Errc::io);
}
