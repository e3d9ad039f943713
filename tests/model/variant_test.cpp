#include "kernels/model/variant.h"

#include "support/catch.h"

using namespace kernels;

namespace {

/// All that a name says, in one line.
std::string fields(const Variant& variant) {
  if (variant.framework == Framework::noarch) return "noarch " + variant.noarch_name;
  std::string out = variant.framework == Framework::torch          ? "torch "
                    : variant.framework == Framework::torch_stable ? "stable "
                                                                   : "tvm ";
  out += variant.framework_version.str();
  if (variant.cxx11_abi) out += *variant.cxx11_abi ? " cxx11" : " cxx98";
  return out + ", " + variant.backend.display() + ", " + variant.cpu + ", " + variant.os;
}

struct Row {
  const char* name;
  const char* fields;  ///< empty: invalid
};

}  // namespace

TEST_CASE("variant: every form of a name", "[model]") {
  auto row = GENERATE(values<Row>({
      {"torch210-cxx11-cu128-x86_64-linux", "torch 2.10 cxx11, CUDA 12.8, x86_64, linux"},
      {"torch29-cxx98-rocm63-x86_64-linux", "torch 2.9 cxx98, ROCm 6.3, x86_64, linux"},
      {"torch28-cu128-x86_64-windows", "torch 2.8, CUDA 12.8, x86_64, windows"},
      {"torch25-metal-aarch64-darwin", "torch 2.5, Metal, aarch64, darwin"},
      {"torch210-xpu20253-x86_64-linux", "torch 2.10, XPU 2025.3, x86_64, linux"},
      {"torch29-cann85-aarch64-linux", "torch 2.9, CANN 8.5, aarch64, linux"},
      {"torch210-cu1210-x86_64-linux", "torch 2.10, CUDA 121.0, x86_64, linux"},
      {"torch210-rocm710-x86_64-linux", "torch 2.10, ROCm 71.0, x86_64, linux"},
      {"torch210-cu12-x86_64-linux", "torch 2.10, CUDA 1.2, x86_64, linux"},
      {"torch210-neuron-x86_64-linux", "torch 2.10, Neuron, x86_64, linux"},
      {"torch210-tpu-x86_64-linux", "torch 2.10, TPU, x86_64, linux"},
      {"torch-stable-abi211-cu130-aarch64-linux", "stable 2.11, CUDA 13.0, aarch64, linux"},
      {"tvm-ffi01-cu128-x86_64-linux", "tvm 0.1, CUDA 12.8, x86_64, linux"},
      {"tvm-ffi010-cpu-x86_64-linux", "tvm 0.10, CPU, x86_64, linux"},
      {"torch-cuda", "noarch cuda"},
      {"torch-universal", "noarch universal"},
      {"torch-npu", "noarch npu"},
      {"torch-cann", "noarch cann"},
      {"torch-cuda-x86_64-linux", "noarch cuda-x86_64-linux"},
      {"torch210-cpu--linux", "torch 2.10, CPU, , linux"},
      {"torch0210-cpu-x86_64-linux", "torch 0.210, CPU, x86_64, linux"},
  }));
  CAPTURE(row.name);
  auto variant = parse_variant(row.name);
  REQUIRE(variant);
  CHECK(fields(*variant) == row.fields);
  CHECK(variant->name() == row.name);
}

TEST_CASE("variant: names that render to another name", "[model]") {
  struct Rendered {
    const char* name;
    const char* other;
  };
  auto row = GENERATE(values<Rendered>({{"torch100-cpu-x86_64-linux", "torch10-cpu-x86_64-linux"},
                                        {"torch210-cu0128-x86_64-linux", "torch210-cu128-x86_64-linux"},
                                        {"torch", "torch-"},
                                        {"tvm-ffi001-cpu-x86_64-linux", "tvm-ffi01-cpu-x86_64-linux"}}));
  CAPTURE(row.name);
  auto variant = parse_variant(row.name);
  REQUIRE(variant);
  CHECK(variant->name() == row.other);
}

TEST_CASE("variant: what is no variant is refused", "[model]") {
  const auto* name = GENERATE(
      "torch2-cpu-x86_64-linux", "torch210-cu9-x86_64-linux", "torch210-cxx11-cuda-x86_64-linux",
      "torch210-xpu-x86_64-linux", "torch210-hip63-x86_64-linux", "torch210-cu128-x86_64",
      "torch210-cu128-x86_64-linux-gnu", "torch210-cxx14-cu128-x86_64-linux",
      "torch210cxx11-cu128-x86_64-linux", "torch-stable-abi-cu128-x86_64-linux",
      "torch-stable-abi2-cu128-x86_64-linux", "torch-stable-abi29-cxx11-cpu-x86_64-linux", "torch-stable-abi",
      "torch-stable-abix", "tvm-ffi-cu128-x86_64-linux", "tvm-ffi0-cpu-x86_64-linux", "tvm", "tvm-ffi",
      "jax06-cuda", "Torch210-cpu-x86_64-linux", "__pycache__", "", "-", "torch210", "torch210-",
      "torch２10-cpu-x86_64-linux", "torch210-cu12٣-x86_64-linux", "torch29999999999999-cpu-x86_64-linux");
  CAPTURE(name);
  auto variant = parse_variant(name);
  REQUIRE_FALSE(variant);
  CHECK(variant.error().code() == Errc::invalid_argument);
}

TEST_CASE("backend: names, tags and words for people", "[model]") {
  struct Named {
    const char* tag;
    const char* name;
    const char* display;
  };
  auto row = GENERATE(values<Named>({{"cpu", "cpu", "CPU"},
                                     {"metal", "metal", "Metal"},
                                     {"neuron", "neuron", "Neuron"},
                                     {"tpu", "tpu", "TPU"},
                                     {"cu130", "cuda", "CUDA 13.0"},
                                     {"rocm71", "rocm", "ROCm 7.1"},
                                     {"xpu20253", "xpu", "XPU 2025.3"},
                                     {"cann85", "cann", "CANN 8.5"}}));
  auto backend = Backend::from_tag(row.tag);
  REQUIRE(backend);
  CHECK(backend->name() == row.name);
  CHECK(backend->tag() == row.tag);
  CHECK(backend->display() == row.display);
  CHECK(Backend::kind_from_name(row.name) == backend->kind);
  CHECK_FALSE(Backend::kind_from_name("cuda13"));
}
