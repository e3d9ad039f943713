#include <dlfcn.h>

#include "kernels/ops/kernel_source.h"
#include "kernels/torch/layer.h"

#include "support/hub_tree.h"

// libtorch has a macro of this name.
#undef CHECK
#include "support/catch.h"

using namespace kernels;

namespace {

/// The CUDA half of libtorch is a library of its own, which must be there before anybody asks for a device; a
/// program that uses it links it.
void* const cuda_half = ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);

struct SiluAndMulImpl : kernels::libtorch::Layer<SiluAndMulImpl, at::Tensor(const at::Tensor&)> {
  SiluAndMulImpl() { use_kernel_forward_from_hub("SiluAndMul"); }
  at::Tensor forward_own(const at::Tensor& x) {
    ++own_calls;
    auto parts = x.chunk(2, -1);
    return at::silu(parts[0]) * parts[1];
  }
  int own_calls = 0;
};
TORCH_MODULE(SiluAndMul);

struct RMSNormImpl : kernels::libtorch::Layer<RMSNormImpl, at::Tensor(const at::Tensor&)> {
  explicit RMSNormImpl(std::int64_t width) {
    weight = register_parameter("weight", ::torch::rand({width}));
    use_kernel_forward_from_hub("RMSNorm");
    register_attribute("variance_epsilon", variance_epsilon);
  }
  at::Tensor forward_own(const at::Tensor& x) {
    ++own_calls;
    auto wide = x.to(at::kFloat);
    auto variance = wide.pow(2).mean(-1, true);
    return (wide * at::rsqrt(variance + variance_epsilon)).to(x.scalar_type()) * weight;
  }
  at::Tensor weight;
  double variance_epsilon = 1e-5;
  int own_calls = 0;
};
TORCH_MODULE(RMSNorm);

struct FusedAddRMSNormImpl
    : kernels::libtorch::Layer<FusedAddRMSNormImpl,
                               std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&)> {
  explicit FusedAddRMSNormImpl(std::int64_t width) {
    register_parameter("weight", ::torch::ones({width}));
    use_kernel_forward_from_hub("FusedAddRMSNorm");
    register_attribute("eps", eps);
  }
  std::tuple<at::Tensor, at::Tensor> forward_own(const at::Tensor& x, const at::Tensor& residual) {
    return {x, residual};
  }
  double eps = 0;
};
TORCH_MODULE(FusedAddRMSNorm);

struct ModelImpl : ::torch::nn::Module {
  ModelImpl() {
    norm = register_module("norm", RMSNorm(256));
    up = register_module("up", ::torch::nn::Linear(::torch::nn::LinearOptions(256, 512).bias(false)));
    act = register_module("act", SiluAndMul());
  }
  at::Tensor forward(const at::Tensor& x) { return act->forward(up->forward(norm->forward(x))); }
  RMSNorm norm = nullptr;
  ::torch::nn::Linear up = nullptr;
  SiluAndMul act = nullptr;
};
TORCH_MODULE(Model);

layers::KernelMapping mapping(const std::string& device) {
  auto local = [](const char* kernel, const char* layer) {
    return layers::LocalLayerRepository{.repo_path = test::hub_folder() / kernel, .layer_name = layer};
  };
  return {{"SiluAndMul", {{layers::Device(device), local("activation", "SiluAndMul")}}},
          {"RMSNorm", {{layers::Device(device), local("rmsnorm", "RMSNorm")}}},
          {"FusedAddRMSNorm", {{layers::Device(device), local("rmsnorm", "FusedAddRMSNorm")}}}};
}

layers::KernelMappingScope use(const std::string& device) {
  hub::Settings settings;
  settings.cache = "/nonexistent";
  settings.offline = true;
  layers::set_kernel_source(
      ops::hub_kernel_source({.settings = settings, .provider = test::provider_path()}));
  auto scope = layers::use_kernel_mapping(mapping(device), layers::InheritMapping::no);
  REQUIRE(scope);
  return std::move(*scope);
}

void must(const Result<layers::KernelizeReport>& report, std::size_t replaced) {
  if (!report) FAIL(describe(report.error()) << "\n" << report.error().hint());
  INFO(report->text());
  CHECK(report->replaced() == replaced);
}

}  // namespace

TEST_CASE("torch: a model on the CPU is kernelized, shares its memory, and gives the same", "[torch]") {
  auto scope = use("cpu");
  Model model;
  model->eval();
  ::torch::NoGradGuard no_grad;
  auto x = ::torch::randn({7, 256});
  auto expected = model->forward(x);
  must(kernels::libtorch::kernelize(*model), 2);
  auto got = model->forward(x);
  CHECK(at::allclose(got, expected, 1e-4, 1e-5));
  CHECK(model->act->own_calls == 1);
  CHECK(model->norm->own_calls == 1);
  // Members are looked at for each call.
  model->norm->weight.mul_(2);
  model->norm->variance_epsilon = 1;
  auto changed = model->norm->forward(x);
  CHECK(at::allclose(changed, model->norm->forward_own(x), 1e-4, 1e-5));
}

TEST_CASE("torch: in place, results are the tensors that were given", "[torch]") {
  auto scope = use("cpu");
  FusedAddRMSNorm norm(2);
  norm->eval();
  must(kernels::libtorch::kernelize(*norm), 1);
  auto x = ::torch::tensor({{1.0F, 2.0F}});
  auto residual = ::torch::tensor({{2.0F, 2.0F}});
  auto [out, sum] = norm->forward(x, residual);
  CHECK(out.data_ptr() == x.data_ptr());
  CHECK(sum.data_ptr() == residual.data_ptr());
  CHECK(residual[0][1].item<float>() == 4.0F);
}

TEST_CASE("torch: a training model keeps its own forward, because these kernels have no backward",
          "[torch]") {
  auto scope = use("cpu");
  Model model;
  model->train();
  auto report = kernels::libtorch::kernelize(*model);
  must(report, 0);
  CHECK(report->layers.at(0).path == "norm");
  CHECK(report->layers.at(0).outcome == layers::Outcome::not_supported_by_kernel);
  auto x = ::torch::randn({3, 256});
  model->forward(x).sum().backward();
  CHECK(model->norm->weight.grad().defined());
}

TEST_CASE("torch: what a kernel does not take is libtorch's exception", "[torch]") {
  auto scope = use("cpu");
  SiluAndMul act;
  act->eval();
  must(kernels::libtorch::kernelize(*act, {.device = "cpu"}), 1);
  CHECK_THROWS_AS(act->forward(::torch::ones({2, 4}, at::kLong)), c10::Error);
  CHECK_THROWS_AS(act->forward(::torch::ones({2, 3})), c10::Error);
  CHECK(act->forward(::torch::ones({2, 4})).size(1) == 2);
}

TEST_CASE("torch: on a GPU kernels follow the current stream and device", "[torch][gpu]") {
  if (!::torch::cuda::is_available()) {
    WARN("skipped: libtorch sees no CUDA device");
    return;
  }
  auto scope = use("cuda");
  Model model;
  model->eval();
  model->to(at::kCUDA, at::kBFloat16);
  ::torch::NoGradGuard no_grad;
  auto x = ::torch::randn({4096, 256}, at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16));
  auto expected = model->forward(x);
  must(kernels::libtorch::kernelize(*model), 2);
  CHECK(at::allclose(model->forward(x), expected, 2e-2, 2e-2));
  // On a stream of its own, behind work that has to be waited for: a kernel on another stream would be too
  // early.
  c10::impl::VirtualGuardImpl guard(at::kCUDA);
  auto stream = guard.getNewStream({at::kCUDA, 0});
  auto before = guard.exchangeStream(stream);
  bool same = true;
  for (int round = 0; round < 20; ++round) {
    auto late = x;
    for (int i = 0; i < 30; ++i)
      late = at::matmul(late, ::torch::eye(256, late.options()));
    same = same && at::allclose(model->forward(late), expected, 2e-2, 2e-2);
  }
  guard.exchangeStream(before);
  CHECK(same);
}
