#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/runtime/tvm_ffi_abi.h"

namespace kernels::runtime {

/// Element types that kernels are tested and measured with. float8_e4m3fn has 4 bits of exponent and 3 of
/// mantissa, no infinities and a NaN of either sign (0x7f, 0xff); its largest number is 448.
/// Source  Micikevicius et al. 2022, arXiv:2209.05433; the name is PyTorch's.
enum class DType : std::uint8_t { float32, float16, bfloat16, float64, float8_e4m3fn, int32, int64 };

std::string_view name_of(DType type);
/// Empty for none.
inline std::string_view name_of(const std::optional<DType>& type) {
  return type ? name_of(*type) : std::string_view();
}
/// Nothing for any other name.
std::optional<DType> dtype_from_name(std::string_view name);
std::uint64_t size_of(DType type);
/// False for whole numbers.
bool is_floating(DType type);

/// One element as float64, and back with rounding to nearest even. `index` counts elements. What is too
/// large for a float8_e4m3fn becomes its largest number, as the hardware's cvt.rn.satfinite does it, and
/// whole numbers their first or last.
double load_element(const void* data, DType type, std::uint64_t index);
void store_element(void* data, DType type, std::uint64_t index, double value);

/// The same for whole numbers, exactly. Needs  !is_floating(type).
std::int64_t load_whole(const void* data, DType type, std::uint64_t index);
void store_whole(void* data, DType type, std::uint64_t index, std::int64_t value);

/// Sizes and strides of a tensor; strides in elements, as many as sizes.
struct Layout {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;

  /// Row-major without gaps.
  static Layout dense(std::vector<std::int64_t> sizes);
  /// Row-major with `padding` unused elements after each row (the last dimension), if there are rows.
  static Layout padded(std::vector<std::int64_t> sizes, std::int64_t padding);

  /// Number of elements; 1 for no dimensions.
  std::uint64_t elements() const;
  /// Elements from the first to the last one addressed, both included; 0 when empty.
  std::uint64_t extent() const;
};

enum class DeviceKind : std::uint8_t { cpu, cuda };

/// A tensor as kernels receive it: a counted tvm-ffi object (type index 70) around memory that it does not
/// own.
///
/// Kernels that want a borrowed view and kernels that want an object both accept this form. A kernel may keep
/// a reference; the object then lives on, but the memory must too, so call `references` before freeing it.
/// Threads  the count is atomic, everything else is constant after construction.
class Tensor {
 public:
  /// `data` points at the first element.
  Tensor(void* data, DType type, Layout layout, DeviceKind device, std::int32_t device_id);
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;

  void* data() const;
  DType dtype() const { return type_; }
  DeviceKind device() const { return device_; }
  const Layout& layout() const;
  /// The object for an Any of type index 70. Owned by this Tensor.
  void* object() const { return object_.get(); }

 private:
  struct Block;
  struct Release {
    void operator()(Block* block) const;
  };
  static void on_release(void* self, int which);
  std::unique_ptr<Block, Release> object_;
  DType type_;
  DeviceKind device_;
};

}  // namespace kernels::runtime
