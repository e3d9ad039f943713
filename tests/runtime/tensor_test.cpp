#include "kernels/runtime/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
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
  for (const DType type :
       {DType::float32, DType::float16, DType::bfloat16, DType::float64, DType::float8_e4m3fn})
    CHECK(std::isnan(load_element(&memory, type, 0)));
}

TEST_CASE("tensor: every float8_e4m3fn survives the way to float64 and back", "[runtime]") {
  // Sign, 4 bits of exponent with bias 7, 3 of mantissa, written a second time.
  for (unsigned bits = 0; bits < 0x100; ++bits) {
    CAPTURE(bits);
    const auto before = static_cast<std::uint8_t>(bits);
    const double value = load_element(&before, DType::float8_e4m3fn, 0);
    std::uint8_t after = 0;
    store_element(&after, DType::float8_e4m3fn, 0, value);
    if ((bits & 0x7f) == 0x7f) {
      CHECK(std::isnan(value));
      CHECK(after == 0x7f);
      continue;
    }
    const int exponent = static_cast<int>(bits >> 3 & 15);
    const double mantissa = (bits & 7) / 8.0;
    const double magnitude = exponent == 0 ? mantissa * 0x1p-6 : (1 + mantissa) * std::pow(2.0, exponent - 7);
    CHECK(std::fabs(value) == magnitude);
    CHECK(std::signbit(value) == (bits >= 0x80));
    CHECK(after == before);
  }
}

TEST_CASE("tensor: float64 is rounded to the nearest float8_e4m3fn, ties to even, and never beyond 448",
          "[runtime]") {
  const auto code = [](double value) {
    std::uint8_t bits = 0;
    store_element(&bits, DType::float8_e4m3fn, 0, value);
    return static_cast<unsigned>(bits);
  };
  const auto value_of = [](unsigned bits) {
    const auto one = static_cast<std::uint8_t>(bits);
    return load_element(&one, DType::float8_e4m3fn, 0);
  };
  for (unsigned low = 0; low < 0x7e; ++low) {
    const unsigned even = low % 2 == 0 ? low : low + 1;
    const double tie = (value_of(low) + value_of(low + 1)) / 2;
    CAPTURE(low, tie);
    // The neighbours in float32, and the nearest of all float64.
    const auto single = static_cast<float>(tie);
    CHECK(code(tie) == even);
    CHECK(code(std::nextafter(single, 0.0F)) == low);
    CHECK(code(std::nextafter(single, 1000.0F)) == low + 1);
    CHECK(code(std::nextafter(tie, 0.0)) == low);
    CHECK(code(std::nextafter(tie, 1000.0)) == low + 1);
    CHECK(code(-tie) == (even | 0x80));
  }
  for (double large : {448.0, 463.9, 464.0, 465.0, 1e30, HUGE_VAL}) {
    CHECK(code(large) == 0x7e);
    CHECK(code(-large) == 0xfe);
  }
  CHECK(code(std::nan("")) == 0x7f);
  CHECK(code(-std::nan("")) == 0x7f);
  CHECK(code(-0.0) == 0x80);
  CHECK(code(0x1p-1074) == 0);
}

TEST_CASE("tensor: whole numbers are kept exactly, and what does not fit is the nearest that does",
          "[runtime]") {
  std::int64_t large = 0;
  std::int32_t small = 0;
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40,
                                   (std::int64_t{1} << 53) + 1, INT64_MAX, INT64_MIN}) {
    store_whole(&large, DType::int64, 0, value);
    CHECK(load_whole(&large, DType::int64, 0) == value);
    store_whole(&small, DType::int32, 0, value);
    CHECK(load_whole(&small, DType::int32, 0) == std::clamp<std::int64_t>(value, INT32_MIN, INT32_MAX));
  }
  CHECK(round_trip<std::int32_t>(DType::int32, 2.5) == 2);
  CHECK(round_trip<std::int32_t>(DType::int32, -1e10) == -0x1p31);
  CHECK(round_trip<std::int64_t>(DType::int64, HUGE_VAL) == 0x1p63);
  CHECK(round_trip<std::int64_t>(DType::int64, std::nan("")) == 0);
}

TEST_CASE("tensor: every type has a name, a size and the number of DLPack", "[runtime]") {
  struct Row {
    DType type;
    std::uint64_t size;
    std::uint8_t code;
  };
  for (const auto& row : {Row{DType::float32, 4, 2}, Row{DType::float16, 2, 2}, Row{DType::bfloat16, 2, 4},
                          Row{DType::float64, 8, 2}, Row{DType::float8_e4m3fn, 1, 10},
                          Row{DType::int32, 4, 0}, Row{DType::int64, 8, 0}}) {
    INFO(name_of(row.type));
    CHECK(dtype_from_name(name_of(row.type)) == row.type);
    CHECK(size_of(row.type) == row.size);
    CHECK(is_floating(row.type) == (row.code != 0));
    double data = 0;
    const Tensor tensor(&data, row.type, Layout::dense({1}), DeviceKind::cpu, 0);
    const auto* view = reinterpret_cast<const kernels::tvm_ffi::Tensor*>(
        static_cast<const char*>(tensor.object()) + sizeof(kernels::tvm_ffi::Object));
    CHECK(view->dtype.code == row.code);
    CHECK(view->dtype.bits == 8 * row.size);
    CHECK(view->dtype.lanes == 1);
  }
  CHECK_FALSE(dtype_from_name("float8"));
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
