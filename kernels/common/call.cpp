#include "common/call.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace kernels::common {
namespace {

/// Text in a fixed buffer; what does not fit is cut off.
class Text {
 public:
  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    va_list list;
    va_start(list, format);
    const int written = std::vsnprintf(buffer_ + size_, sizeof(buffer_) - size_, format, list);
    va_end(list);
    if (written <= 0) return;
    size_ += static_cast<std::size_t>(written);
    if (size_ >= sizeof(buffer_)) size_ = sizeof(buffer_) - 1;
  }
  const char* c_str() const { return buffer_; }
  std::size_t size() const { return size_; }

 private:
  char buffer_[2048] = {};
  std::size_t size_ = 0;
};

ElementType element_type(tvm_ffi::DataType type) {
  if (type.lanes != 1) return ElementType::unknown;
  if (type.code == tvm_ffi::kBfloat && type.bits == 16) return ElementType::bfloat16;
  if (type.code == tvm_ffi::kFloat8E4M3Fn && type.bits == 8) return ElementType::float8_e4m3;
  if (type.code == tvm_ffi::kSignedInt && type.bits == 32) return ElementType::int32;
  if (type.code == tvm_ffi::kSignedInt && type.bits == 64) return ElementType::int64;
  if (type.code != tvm_ffi::kFloatingPoint) return ElementType::unknown;
  switch (type.bits) {
    case 16:
      return ElementType::float16;
    case 32:
      return ElementType::float32;
    case 64:
      return ElementType::float64;
    default:
      return ElementType::unknown;
  }
}

bool contains(std::span<const ElementType> allowed, ElementType type) {
  for (const ElementType one : allowed)
    if (one == type) return true;
  return false;
}

constexpr std::int32_t kMaxDimensions = 64;

/// The number of elements, or -1 when a size is negative or the product leaves 63 bits of bytes.
std::int64_t element_count(const tvm_ffi::Tensor& tensor) {
  std::int64_t count = 1;
  bool overflow = false;
  bool empty = false;
  for (std::int32_t i = 0; i < tensor.ndim; ++i) {
    if (tensor.shape[i] < 0) return -1;
    empty = empty || tensor.shape[i] == 0;
    overflow = overflow || __builtin_mul_overflow(count, tensor.shape[i], &count);
  }
  if (empty) return 0;
  return overflow || count > INT64_MAX / 16 ? -1 : count;
}

/// Collapses the dimensions before `end` into one of `size` elements, `stride` apart; `dense` is the stride
/// of the last of them where the tensor states none. False when their strides do not follow one another.
bool collapse(const tvm_ffi::Tensor& tensor, std::int32_t end, std::int64_t dense, std::int64_t& size,
              std::int64_t& stride) {
  size = 1;
  stride = dense;
  std::int64_t next_stride = 0;  // what the next outer dimension must have; 0 = no dimension of size > 1 yet
  for (std::int32_t i = end - 1; i >= 0; --i) {
    const std::int64_t extent = tensor.shape[i];
    if (extent != 1) {
      const std::int64_t own =
          tensor.strides == nullptr ? (next_stride == 0 ? dense : next_stride) : tensor.strides[i];
      if (next_stride == 0)
        stride = own;
      else if (own != next_stride)
        return false;
      if (__builtin_mul_overflow(own, extent, &next_stride)) return false;
    }
    size *= extent;
  }
  return true;
}

/// Elements from the first to the last of `count` pieces of `length`, `stride` apart; -1 when they leave 63
/// bits of bytes.
std::int64_t reach(std::int64_t count, std::int64_t stride, std::int64_t length) {
  std::int64_t last = 0;
  if (length < 0 || __builtin_mul_overflow(count - 1, stride, &last) ||
      __builtin_add_overflow(last, length, &last))
    return -1;
  return last > INT64_MAX / 16 ? -1 : last;
}

/// Whether no two heads of a tensor share an element: heads within tokens, or tokens within heads.
bool are_apart(const Heads& o) {
  if (o.heads > 1 && o.head_stride < o.cols) return false;
  if (o.tokens > 1 && o.token_stride < o.cols) return false;
  return o.heads < 2 || o.tokens < 2 || reach(o.heads, o.head_stride, o.cols) <= o.token_stride ||
         reach(o.tokens, o.token_stride, o.cols) <= o.head_stride;
}

}  // namespace

bool Call::bad(const char* kind, int index, const char* text) const {
  Text message;
  message.add("%s: `%s` %s", signature_.name, signature_.arguments[static_cast<std::size_t>(index)].name,
              text);
  TVMFFIErrorSetRaisedFromCStr(kind, message.c_str());
  return false;
}

bool Call::bad_value(int index, const char* text, std::int64_t got, std::int64_t expected) const {
  Text message;
  message.add("%s, expected %lld, got %lld", text, static_cast<long long>(expected),
              static_cast<long long>(got));
  return bad("ValueError", index, message.c_str());
}

bool Call::arity() const {
  if (count_ == static_cast<std::int32_t>(signature_.arguments.size())) return true;
  Text message;
  message.add("Mismatched number of arguments when calling: `%s(", signature_.name);
  int index = 0;
  for (const Argument& argument : signature_.arguments) {
    message.add("%s%d: %s", index == 0 ? "" : ", ", index, argument.type);
    ++index;
  }
  message.add(") -> None`. Expected %d but got %d arguments", index, count_);
  TVMFFIErrorSetRaisedFromCStr("TypeError", message.c_str());
  return false;
}

bool Call::tensor(int index, const tvm_ffi::Tensor*& out) const {
  const tvm_ffi::Any& value = args_[index];
  if (value.type_index == tvm_ffi::kTensorPointer) {
    out = static_cast<const tvm_ffi::Tensor*>(value.as_pointer);
  } else if (value.type_index == tvm_ffi::kTensor) {
    out = reinterpret_cast<const tvm_ffi::Tensor*>(static_cast<const char*>(value.as_pointer) +
                                                   sizeof(tvm_ffi::Object));
  } else {
    return bad("TypeError", index, "must be a tensor");
  }
  if (out == nullptr) return bad("TypeError", index, "is a null tensor");
  return true;
}

bool Call::sound(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
                 std::int32_t dimensions, View& out) const {
  const tvm_ffi::Tensor* tensor = nullptr;
  if (!this->tensor(index, tensor)) return false;
  out.tensor = tensor;
  out.type = element_type(tensor->dtype);
  if (!contains(allowed, out.type))
    return bad("TypeError", index, "has a data type that this function does not take");
  if (tensor->device.type != device)
    return bad_value(index, "is on another kind of device", tensor->device.type, device);
  if (tensor->ndim < dimensions || tensor->ndim > kMaxDimensions || tensor->shape == nullptr)
    return bad_value(index, "has too few dimensions, or too many", tensor->ndim, dimensions);
  out.count = element_count(*tensor);
  if (out.count < 0)
    return bad("ValueError", index, "has a negative size, or more elements than can be addressed");
  const std::int64_t last = tensor->ndim - 1;
  if (out.count == 0) return true;
  if (tensor->strides != nullptr && tensor->shape[last] > 1 && tensor->strides[last] != 1)
    return bad_value(index, "must be contiguous in its last dimension: stride", tensor->strides[last], 1);
  if (tensor->data == nullptr) return bad("ValueError", index, "has no data");
  out.data = static_cast<char*>(tensor->data) + tensor->byte_offset;
  const auto size = static_cast<std::uintptr_t>(size_of(out.type));
  if (reinterpret_cast<std::uintptr_t>(out.data) % size != 0)
    return bad("ValueError", index, "is not aligned to its element size");
  return true;
}

bool Call::rows(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
                Rows& out) const {
  View view;
  if (!sound(index, device, allowed, 1, view)) return false;
  const tvm_ffi::Tensor& tensor = *view.tensor;
  const std::int32_t last = tensor.ndim - 1;
  out = {view.data, 0, tensor.shape[last], tensor.shape[last], view.type, view.tensor};
  if (view.count == 0) return true;
  if (!collapse(tensor, last, out.cols, out.rows, out.row_stride))
    return bad("ValueError", index, "has leading dimensions whose strides do not collapse into rows");
  if (out.rows > 1 && out.row_stride < out.cols)
    return bad_value(index, "has rows that overlap: row stride below the number of columns", out.row_stride,
                     out.cols);
  if (out.rows > 1 && reach(out.rows, out.row_stride, out.cols) < 0)
    return bad("ValueError", index, "has strides that lead beyond what can be addressed");
  return true;
}

bool Call::heads(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
                 Heads& out) const {
  View view;
  if (!sound(index, device, allowed, 2, view)) return false;
  const tvm_ffi::Tensor& tensor = *view.tensor;
  const std::int32_t last = tensor.ndim - 1;
  out = {view.data, 0, tensor.shape[last - 1], tensor.shape[last], 0, 0, view.type, view.tensor};
  if (view.count == 0) return true;
  out.head_stride = tensor.strides == nullptr ? out.cols : tensor.strides[last - 1];
  if (!collapse(tensor, last - 1, out.heads * out.cols, out.tokens, out.token_stride))
    return bad("ValueError", index, "has leading dimensions whose strides do not collapse into tokens");
  const std::int64_t token = out.heads > 1 ? reach(out.heads, out.head_stride, out.cols) : out.cols;
  if ((out.heads > 1 && out.head_stride < 0) || (out.tokens > 1 && out.token_stride < 0))
    return bad("ValueError", index, "has heads or tokens backwards");
  if (token < 0 || (out.tokens > 1 && reach(out.tokens, out.token_stride, token) < 0))
    return bad("ValueError", index, "has strides that lead beyond what can be addressed");
  if (!are_apart(out)) return bad("ValueError", index, "has heads that overlap");
  return true;
}

bool Call::vector(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
                  Rows& out) const {
  if (!rows(index, device, allowed, out)) return false;
  if (out.tensor->ndim != 1) return bad_value(index, "must have one dimension", out.tensor->ndim, 1);
  return true;
}

bool Call::per_row(int index, tvm_ffi::DeviceType device, std::span<const ElementType> allowed,
                   const tvm_ffi::Tensor& of, std::int32_t inner, Rows& out) const {
  if (!rows(index, device, allowed, out)) return false;
  const tvm_ffi::Tensor& tensor = *out.tensor;
  const std::int32_t leading = of.ndim - inner;
  const bool has_one_more = tensor.ndim == leading + 1 && tensor.shape[leading] == 1;
  bool fits = tensor.ndim == leading || has_one_more;
  for (std::int32_t i = 0; fits && i < leading; ++i)
    fits = tensor.shape[i] == of.shape[i];
  if (!fits) return bad("ValueError", index, "must have the leading sizes of the other tensors");
  if (out.rows > 1 && out.row_stride != out.cols)
    return bad_value(index, "must have no gaps: stride", out.row_stride, out.cols);
  out.cols *= out.rows;
  out.rows = out.cols > 0 ? 1 : 0;
  return same_device(of, index, tensor);
}

bool Call::number(int index, double& out) const {
  const tvm_ffi::Any& value = args_[index];
  if (value.type_index == tvm_ffi::kFloat) {
    out = value.as_float;
    return true;
  }
  if (value.type_index == tvm_ffi::kInt) {
    out = static_cast<double>(value.as_int);
    return true;
  }
  return bad("TypeError", index, "must be a number");
}

bool Call::same_type(ElementType a, int index, ElementType b) const {
  return a == b || bad("TypeError", index, "must have the data type of the other tensors");
}

bool Call::same_device(const tvm_ffi::Tensor& a, int index, const tvm_ffi::Tensor& b) const {
  if (a.device.id == b.device.id) return true;
  return bad_value(index, "must be on the device of the other tensors", b.device.id, a.device.id);
}

bool Call::same_leading(const tvm_ffi::Tensor& a, int index, const tvm_ffi::Tensor& b,
                        std::int32_t inner) const {
  if (a.ndim != b.ndim)
    return bad_value(index, "must have as many dimensions as the other tensors", b.ndim, a.ndim);
  for (std::int32_t i = 0; i + inner < a.ndim; ++i)
    if (a.shape[i] != b.shape[i])
      return bad_value(index, "must have the leading sizes of the other tensors", b.shape[i], a.shape[i]);
  return true;
}

bool Call::alike(const Rows& a, int index, const Rows& b) const {
  return same_type(a.type, index, b.type) && same_device(*a.tensor, index, *b.tensor);
}

bool Call::same_leading(const Rows& a, int index, const Rows& b) const {
  return same_leading(*a.tensor, index, *b.tensor, 1);
}

int Call::launch_failed(const char* text) const {
  Text message;
  message.add("%s: %s", signature_.name, text);
  TVMFFIErrorSetRaisedFromCStr("RuntimeError", message.c_str());
  return -1;
}

int done(tvm_ffi::Any* result) {
  std::memset(static_cast<void*>(result), 0, sizeof(*result));
  return 0;
}

int metadata(const Signature& signature, tvm_ffi::Any* result) {
  Text text;
  // The schema is JSON inside a JSON string, as tvm-ffi's own macro writes it; its first entry is the result.
  text.add(R"({"type_schema":"{\"type\":\"ffi.Function\",\"args\":[{\"type\":\"None\"})");
  for (const Argument& argument : signature.arguments)
    text.add(R"(,{\"type\":\"%s\"})", argument.type);
  text.add(R"(]}","arg_names":[)");
  const char* separator = "";
  for (const Argument& argument : signature.arguments) {
    text.add("%s\"%s\"", separator, argument.name);
    separator = ",";
  }
  text.add(R"(],"mutates":[)");
  separator = "";
  for (const Argument& argument : signature.arguments) {
    if (argument.access == Argument::Access::read) continue;
    text.add("%s\"%s\"", separator, argument.name);
    separator = ",";
  }
  text.add("]}");
  const tvm_ffi::ByteArray bytes{text.c_str(), text.size()};
  return TVMFFIStringFromByteArray(&bytes, result);
}

}  // namespace kernels::common
