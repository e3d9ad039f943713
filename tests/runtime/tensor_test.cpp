#include "kernels/runtime/tensor.h"

#include <cmath>
#include <cstring>

#include "support/catch.h"

using namespace kernels::runtime;

namespace {

template <class T>
double round_trip(DType type, double value) {
  T bits{};
  store_element(&bits, type, 0, value);
  return load_element(&bits, type, 0);
}

}  // namespace

TEST_CASE("tensor: every 16-bit float survives the way to float64 and back", "[runtime]") {
  for (const DType type : {DType::float16, DType::bfloat16}) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto before = static_cast<std::uint16_t>(bits);
      const double value = load_element(&before, type, 0);
      if (std::isnan(value)) continue;
      std::uint16_t after = 0;
      store_element(&after, type, 0, value);
      if (after != before) FAIL(name_of(type) << " 0x" << std::hex << bits << " became 0x" << after);
    }
  }
}

TEST_CASE("tensor: float64 is rounded to the nearest half, ties to even", "[runtime]") {
  struct Row {
    const char* name;
    double value;
    double half;
  };
  const auto row = GENERATE(values<Row>({{"tie goes down to even", 1 + 0x1p-11, 1.0},
                                         {"tie goes up to even", 1 + 3 * 0x1p-11, 1 + 2 * 0x1p-10},
                                         {"just above a tie", 1 + 0x1p-11 + 0x1p-20, 1 + 0x1p-10},
                                         {"largest", 65504, 65504},
                                         {"below the tie to infinity", 65519, 65504},
                                         {"infinity", 65520, HUGE_VAL},
                                         {"smallest subnormal", 0x1p-24, 0x1p-24},
                                         {"half of it, a tie with zero", 0x1p-25, 0.0},
                                         {"a subnormal that rounds to normal", 0x1p-14 - 0x1p-26, 0x1p-14},
                                         {"negative", -2.5, -2.5}}));
  DYNAMIC_SECTION(row.name) {
    CHECK(round_trip<std::uint16_t>(DType::float16, row.value) == row.half);
  }
}

TEST_CASE("tensor: poison bytes are NaN in every type", "[runtime]") {
  double memory = 0;
  std::memset(&memory, 0xff, sizeof(memory));
  for (const DType type : {DType::float32, DType::float16, DType::bfloat16, DType::float64})
    CHECK(std::isnan(load_element(&memory, type, 0)));
}

TEST_CASE("layout: padding lies between rows only", "[runtime]") {
  const Layout padded = Layout::padded({2, 3, 5}, 3);
  CHECK(padded.strides == std::vector<std::int64_t>{24, 8, 1});
  CHECK(padded.elements() == 30);
  CHECK(padded.extent() == 45);
  CHECK(Layout::padded({5}, 3).strides == std::vector<std::int64_t>{1});
  CHECK(Layout::dense({0, 4}).extent() == 0);
}

TEST_CASE("tensor: the object has the layout of the ABI and counts its references", "[runtime]") {
  float data[6] = {};
  const Tensor tensor(data, DType::float32, Layout::dense({2, 3}), DeviceKind::cpu, 0);
  const auto* head = static_cast<const kernels::tvm_ffi::Object*>(tensor.object());
  CHECK(head->type_index == kernels::tvm_ffi::kTensor);
  CHECK(head->counts == kernels::tvm_ffi::kOneStrongOneWeak);
  const auto* view = reinterpret_cast<const kernels::tvm_ffi::Tensor*>(head + 1);
  CHECK(view->data == data);
  CHECK(view->ndim == 2);
  CHECK(view->shape[1] == 3);
  CHECK(view->strides[0] == 3);
  CHECK(view->byte_offset == 0);
}
