// A project that uses the installed library: which variant would be taken for a machine that it describes.

#include <iostream>

#include <kernels/bench/workload.h>
#include <kernels/layers/kernelize.h>
#include <kernels/machine/detect.h>
#include <kernels/ops/download.h>

namespace {

/// A layer of the consumer's own; nothing is mapped to it.
class Identity : public kernels::layers::Layer<kernels::layers::Tensor(const kernels::layers::Tensor&)> {
 public:
  Identity() { use_kernel_forward_from_hub("Identity"); }
  kernels::Result<kernels::layers::Tensor> forward(const kernels::layers::Tensor& x) const override {
    return x;
  }
};

}  // namespace

int main() {
  auto target = kernels::parse_target("os=linux,cpu=x86_64,torch=2.10,cuda=12.9");
  if (!target) return 1;
  auto names = kernels::resolve::parse_variant_names(
      {"torch-cuda", "torch210-cxx11-cu128-x86_64-linux", "torch210-cxx11-cu130-x86_64-linux"});
  auto decisions = kernels::resolve::decide(names.valid, *target);
  // One call into each library, so that each of them is linked.
  if (!kernels::ops::choose_variants({}, {}).empty()) return 2;
  if (kernels::bench::parse_workloads("schema = 2")) return 3;
  if (kernels::machine::python_constant("a = '1'", "a") != "1") return 4;
  Identity model;
  auto report = kernels::layers::kernelize(model, {.device = "cpu"});
  if (!report || report->layers.front().outcome != kernels::layers::Outcome::no_layer) return 5;
  std::cout << decisions.front().variant.name() << '\n';
}
