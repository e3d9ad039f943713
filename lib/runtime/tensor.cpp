#include "kernels/runtime/tensor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace kernels::runtime {
namespace {

struct DTypeRow {
  DType type;
  std::string_view name;
  std::uint64_t size;
  tvm_ffi::DataType code;
};
constexpr std::array<DTypeRow, 7> kTypes = {{
    {DType::float32, "float32", 4, {tvm_ffi::kFloatingPoint, 32, 1}},
    {DType::float16, "float16", 2, {tvm_ffi::kFloatingPoint, 16, 1}},
    {DType::bfloat16, "bfloat16", 2, {tvm_ffi::kBfloat, 16, 1}},
    {DType::float64, "float64", 8, {tvm_ffi::kFloatingPoint, 64, 1}},
    {DType::float8_e4m3fn, "float8_e4m3fn", 1, {tvm_ffi::kFloat8E4M3Fn, 8, 1}},
    {DType::int32, "int32", 4, {tvm_ffi::kSignedInt, 32, 1}},
    {DType::int64, "int64", 8, {tvm_ffi::kSignedInt, 64, 1}},
}};
const DTypeRow& row_of(DType type) {
  return kTypes[static_cast<std::size_t>(type)];
}

template <class T>
T load_as(const void* data, std::uint64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}
template <class T>
void store_as(void* data, std::uint64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * sizeof(T), &value, sizeof(T));
}

double half_to_double(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const double mantissa = static_cast<double>(bits & 0x3ff);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa == 0 ? sign * HUGE_VAL : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(mantissa + 1024.0, exponent - 25);
}

/// Rounds through the spacing of halves at the value's magnitude; nearbyint rounds ties to even.
std::uint16_t double_to_half(double value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (magnitude == 0) return sign;
  if (magnitude >= 65520.0) return sign | 0x7c00;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int scale = std::max(exponent - 11, -24);
  auto mantissa = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, -scale)));
  // For normal numbers the mantissa has its leading bit at 1024, which becomes part of the exponent field.
  const std::uint32_t field = scale == -24 ? 0 : static_cast<std::uint32_t>(scale + 24) << 10;
  return static_cast<std::uint16_t>(sign | (field + mantissa));
}

double e4m3_to_double(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 0xf;
  const double mantissa = static_cast<double>(bits & 0x7);
  const double sign = (bits & 0x80) != 0 ? -1.0 : 1.0;
  if ((bits & 0x7f) == 0x7f) return std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -9);
  return sign * std::ldexp(mantissa + 8.0, exponent - 10);
}

/// As for halves; there is no infinity, so what rounds beyond the largest number becomes that.
std::uint8_t double_to_e4m3(double value) {
  constexpr double kLargest = 448.0;
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7f;
  if (magnitude == 0) return sign;
  if (magnitude >= kLargest) return sign | 0x7e;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int scale = std::max(exponent - 4, -9);
  auto mantissa = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, -scale)));
  const std::uint32_t field = scale == -9 ? 0 : static_cast<std::uint32_t>(scale + 9) << 3;
  return static_cast<std::uint8_t>(sign | (field + mantissa));
}

std::uint16_t double_to_bfloat(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

std::int64_t double_to_whole(double value) {
  if (std::isnan(value)) return 0;
  const double nearest = std::nearbyint(value);
  if (nearest >= 0x1p63) return INT64_MAX;
  return nearest <= -0x1p63 ? INT64_MIN : static_cast<std::int64_t>(nearest);
}

}  // namespace

std::string_view name_of(DType type) {
  return row_of(type).name;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeRow& row : kTypes)
    if (row.name == name) return row.type;
  return std::nullopt;
}

std::uint64_t size_of(DType type) {
  return row_of(type).size;
}

bool is_floating(DType type) {
  return row_of(type).code.code != tvm_ffi::kSignedInt;
}

std::int64_t load_whole(const void* data, DType type, std::uint64_t index) {
  return type == DType::int32 ? load_as<std::int32_t>(data, index) : load_as<std::int64_t>(data, index);
}

void store_whole(void* data, DType type, std::uint64_t index, std::int64_t value) {
  if (type == DType::int32)
    store_as(data, index, static_cast<std::int32_t>(std::clamp<std::int64_t>(value, INT32_MIN, INT32_MAX)));
  else
    store_as(data, index, value);
}

double load_element(const void* data, DType type, std::uint64_t index) {
  switch (type) {
    case DType::float64:
      return load_as<double>(data, index);
    case DType::float32:
      return static_cast<double>(load_as<float>(data, index));
    case DType::float16:
      return half_to_double(load_as<std::uint16_t>(data, index));
    case DType::float8_e4m3fn:
      return e4m3_to_double(load_as<std::uint8_t>(data, index));
    case DType::int32:
    case DType::int64:
      return static_cast<double>(load_whole(data, type, index));
    case DType::bfloat16:
      break;
  }
  return static_cast<double>(
      std::bit_cast<float>(static_cast<std::uint32_t>(load_as<std::uint16_t>(data, index)) << 16));
}

void store_element(void* data, DType type, std::uint64_t index, double value) {
  switch (type) {
    case DType::float64:
      return store_as(data, index, value);
    case DType::float32:
      return store_as(data, index, static_cast<float>(value));
    case DType::float16:
      return store_as(data, index, double_to_half(value));
    case DType::float8_e4m3fn:
      return store_as(data, index, double_to_e4m3(value));
    case DType::int32:
    case DType::int64:
      return store_whole(data, type, index, double_to_whole(value));
    case DType::bfloat16:
      break;
  }
  store_as(data, index, double_to_bfloat(value));
}

Layout Layout::dense(std::vector<std::int64_t> sizes) {
  return padded(std::move(sizes), 0);
}

Layout Layout::padded(std::vector<std::int64_t> sizes, std::int64_t padding) {
  Layout layout{std::move(sizes), {}};
  layout.strides.resize(layout.sizes.size());
  std::int64_t stride = 1;
  for (std::size_t i = layout.sizes.size(); i-- > 0;) {
    layout.strides[i] = stride;
    stride *= layout.sizes[i];
    if (i + 1 == layout.sizes.size() && layout.sizes.size() > 1) stride += padding;
  }
  return layout;
}

std::uint64_t Layout::elements() const {
  std::uint64_t count = 1;
  for (const std::int64_t size : sizes)
    count *= static_cast<std::uint64_t>(size);
  return count;
}

std::uint64_t Layout::extent() const {
  if (elements() == 0) return 0;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    last += (sizes[i] - 1) * strides[i];
  return static_cast<std::uint64_t>(last) + 1;
}

/// What lies behind the object's address: the head, the view right after it, as the ABI wants, and the
/// layout.
struct Tensor::Block {
  tvm_ffi::Object head;
  tvm_ffi::Tensor view;
  Layout layout;
};

void Tensor::on_release(void* self, int which) {
  // Weak references to tensors do not exist in this process, so both counts end together.
  if ((which & 2) != 0) std::unique_ptr<Block>(static_cast<Block*>(self)).reset();
}

void Tensor::Release::operator()(Block* block) const {
  constexpr std::uint64_t kStrong = 0xffffffffULL;
  const std::uint64_t before = std::atomic_ref(block->head.counts).fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kStrong) == 1) on_release(block, 3);
}

Tensor::Tensor(void* data, DType type, Layout layout, DeviceKind device, std::int32_t device_id)
    : object_(std::make_unique<Block>().release()), type_(type), device_(device) {
  Block& block = *object_;
  block.layout = std::move(layout);
  block.head.counts = tvm_ffi::kOneStrongOneWeak;
  block.head.type_index = tvm_ffi::kTensor;
  block.head.deleter = &Tensor::on_release;
  block.view.data = data;
  block.view.device = {device == DeviceKind::cpu ? tvm_ffi::kCpu : tvm_ffi::kCuda, device_id};
  block.view.ndim = static_cast<std::int32_t>(block.layout.sizes.size());
  block.view.dtype = row_of(type).code;
  block.view.shape = block.layout.sizes.data();
  block.view.strides = block.layout.strides.data();
}

void* Tensor::data() const {
  return object_->view.data;
}
const Layout& Tensor::layout() const {
  return object_->layout;
}

}  // namespace kernels::runtime
