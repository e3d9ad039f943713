#include "bench_devices.h"

#include "support/catch.h"

using namespace kernels;
using namespace kernels::app;

namespace {

machine::Detected with_gpus(std::size_t count) {
  machine::Detected out;
  if (count == 0) return out;
  out.target.backend = {.kind = BackendKind::cuda, .version = MajorMinor{.major = 13, .minor = 0}};
  out.target.capabilities = {{.major = 9, .minor = 0}};  // all alike: named once
  for (std::size_t i = 0; i < count; ++i)
    out.gpus.push_back({.index = i, .name = "NVIDIA H200"});
  return out;
}

std::vector<int> indices(const std::string& text, std::size_t gpus) {
  const auto devices = parse_bench_devices(text, with_gpus(gpus));
  REQUIRE(devices);
  std::vector<int> out;
  for (const auto& device : *devices)
    out.push_back(device.kind == runtime::DeviceKind::cuda ? device.index : -1);
  return out;
}

}  // namespace

TEST_CASE("devices: all are all GPUs, also when they are alike", "[bench]") {
  CHECK(indices("all", 1) == std::vector{0});
  CHECK(indices("all", 8) == std::vector{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK_FALSE(parse_bench_devices("all", with_gpus(0)));
}

TEST_CASE("devices: one by its number, or what there is", "[bench]") {
  CHECK(indices("auto", 0) == std::vector{-1});
  CHECK(indices("auto", 2) == std::vector{0});
  CHECK(indices("cuda", 2) == std::vector{0});
  CHECK(indices("cuda:1", 2) == std::vector{1});
  CHECK(indices("cpu", 2) == std::vector{-1});
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:99999", "CPU"})
    CHECK(parse_bench_devices(text, with_gpus(1)).error().code() == Errc::invalid_argument);
}
