#include "kernels/layers/tensor.h"

#include <array>
#include <utility>

#include "support/catch.h"

using namespace kernels::layers;

namespace {

// As in DLPack's header, whose names engines use.
struct DLDevice {
  int device_type;
  std::int32_t device_id;
};
struct DLDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor*);
};

}  // namespace

TEST_CASE("tensor: a view of a DLTensor shares its memory and adds its offset", "[layers]") {
  std::array<float, 6> memory{0, 1, 2, 3, 4, 5};
  std::array<std::int64_t, 2> sizes{2, 2};
  DLTensor engine{.data = memory.data(),
                  .device = {1, 0},
                  .ndim = 2,
                  .dtype = {2, 32, 1},
                  .shape = sizes.data(),
                  .strides = nullptr,
                  .byte_offset = 8};
  auto tensor = Tensor::view(engine);
  CHECK(tensor.data() == &memory[2]);
  CHECK(tensor.sizes()[1] == 2);
  CHECK(tensor.strides()[0] == 2);
  CHECK(tensor.elements() == 4);
  CHECK(to_string(tensor.type()) == "float32");
}

TEST_CASE("tensor: a managed tensor is let go once, with the last copy", "[layers]") {
  static int released = 0;
  released = 0;
  std::array<std::int64_t, 1> sizes{3};
  std::array<std::int64_t, 1> strides{2};
  float memory[6] = {};
  DLManagedTensor managed{.dl_tensor = {memory, {1, 0}, 1, {4, 16, 1}, sizes.data(), strides.data(), 0},
                          .manager_ctx = nullptr,
                          .deleter = [](DLManagedTensor*) { ++released; }};
  {
    auto tensor = Tensor::from_dlpack(&managed);
    CHECK(tensor.type().code == 4);
    CHECK(to_string(tensor.type()) == "bfloat16");
    CHECK(tensor.strides()[0] == 2);
    Tensor copy = tensor;
    tensor = Tensor();
    Tensor moved = std::move(copy);
    CHECK(released == 0);
    CHECK(moved.defined());
  }
  CHECK(released == 1);
}

TEST_CASE("tensor: memory of the CPU is aligned, and refused where sizes overflow", "[layers]") {
  auto tensor = allocate_on_cpu({.type = kFloat16, .device = kCpuDevice, .sizes = {3, 5}});
  REQUIRE(tensor.defined());
  CHECK(reinterpret_cast<std::uintptr_t>(tensor.data()) % 64 == 0);
  CHECK(tensor.strides()[0] == 5);
  CHECK_FALSE(
      allocate_on_cpu({.type = kFloat32, .device = kCpuDevice, .sizes = {1LL << 40, 1LL << 40}}).defined());
  CHECK_FALSE(allocate_on_cpu({.type = kFloat32, .device = {2, 0}, .sizes = {1}}).defined());
  CHECK(allocate_on_cpu({.type = kFloat32, .device = kCpuDevice, .sizes = {0, 8}}).defined());
}
