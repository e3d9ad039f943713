#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/runtime/tvm_ffi_abi.h"

namespace kernels::layers {

/// Element type and device, as DLPack has them.
using DataType = tvm_ffi::DataType;
using DlDevice = tvm_ffi::Device;

inline constexpr DataType kFloat32{tvm_ffi::kFloatingPoint, 32, 1};
inline constexpr DataType kFloat16{tvm_ffi::kFloatingPoint, 16, 1};
inline constexpr DataType kBfloat16{tvm_ffi::kBfloat, 16, 1};
inline constexpr DlDevice kCpuDevice{tvm_ffi::kCpu, 0};

/// `bfloat16`, `int32`, …, as kernels name their types in `layers.toml`.
std::string to_string(DataType type);
std::uint64_t bytes_of(DataType type);

/// Sizes of at most eight dimensions, in place: a call of a kernel makes some and must not ask for memory.
class Sizes {
 public:
  static constexpr std::size_t kMost = 8;
  Sizes() = default;
  /// More than eight are a broken promise of the caller and throw std::length_error.
  Sizes(std::initializer_list<std::int64_t> sizes) : Sizes(std::span(sizes.begin(), sizes.size())) {}
  explicit Sizes(std::span<const std::int64_t> sizes);

  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  std::int64_t& back() { return sizes_[count_ - 1]; }
  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + count_; }
  operator std::span<const std::int64_t>() const { return {begin(), count_}; }

 private:
  std::array<std::int64_t, kMost> sizes_{};
  std::size_t count_ = 0;
};

/// What a tensor is, without its memory.
struct TensorSpec {
  DataType type = kFloat32;
  DlDevice device = kCpuDevice;
  Sizes sizes;
};

/// A view of memory that an engine owns, in the form in which kernels take it: no copy is made at the border.
///
/// A handle; copies share the view, which is counted. Made from plain pointers, or from any struct with the
/// members of DLPack's `DLTensor` and `DLManagedTensor`; `dltensor()` gives one back. The library has no
/// operations on tensors. Sizes and strides (in elements) are copied; at most kMaxDimensions.
///
/// Threads  the count is atomic; the view does not change after construction. Cost  one allocation.
class Tensor {
 public:
  static constexpr std::size_t kMaxDimensions = Sizes::kMost;
  struct Place {
    DataType type = kFloat32;
    std::span<const std::int64_t> sizes;
    std::span<const std::int64_t> strides = {};  ///< empty: row-major without gaps
    DlDevice device = kCpuDevice;
  };

  /// No tensor; `defined()` is false.
  Tensor() = default;
  Tensor(const Tensor& other) noexcept;
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor other) noexcept;
  ~Tensor();

  /// Memory that outlives every copy of the tensor, and every kernel that was called with it.
  static Tensor borrow(void* data, const Place& place);
  /// `release` is called once, when the last copy (also one that a kernel kept) is gone, on that thread.
  static Tensor own(void* data, const Place& place, std::function<void()> release);
  /// A view of a `DLTensor`, which must outlive it.
  template <class DLTensor>
  static Tensor view(const DLTensor& tensor) {
    return borrow(static_cast<char*>(tensor.data) + tensor.byte_offset, place_of(tensor));
  }
  /// Takes over a `DLManagedTensor`; its deleter is called with the last copy.
  template <class DLManagedTensor>
  static Tensor from_dlpack(DLManagedTensor* managed) {
    const auto& tensor = managed->dl_tensor;
    return own(static_cast<char*>(tensor.data) + tensor.byte_offset, place_of(tensor), [managed] {
      if (managed->deleter != nullptr) managed->deleter(managed);
    });
  }

  bool defined() const { return block_ != nullptr; }
  void* data() const { return dltensor()->data; }
  DataType type() const { return dltensor()->dtype; }
  DlDevice device() const { return dltensor()->device; }
  std::span<const std::int64_t> sizes() const {
    return {dltensor()->shape, static_cast<std::size_t>(dltensor()->ndim)};
  }
  std::span<const std::int64_t> strides() const {
    return {dltensor()->strides, static_cast<std::size_t>(dltensor()->ndim)};
  }
  std::uint64_t elements() const;
  TensorSpec spec() const;

  /// Laid out as DLPack's `DLTensor`. Owned by this tensor. Not for an undefined one.
  const tvm_ffi::Tensor* dltensor() const;
  /// The counted object that tvm-ffi kernels take.
  void* object() const { return block_; }

 private:
  struct Block;
  static void on_release(void* self, int which);

  template <class DLTensor>
  static Place place_of(const DLTensor& tensor) {
    auto count = static_cast<std::size_t>(tensor.ndim);
    Place place{.type = {static_cast<std::uint8_t>(tensor.dtype.code), tensor.dtype.bits, tensor.dtype.lanes},
                .sizes = {tensor.shape, count},
                .device = device_of(tensor.device)};
    if (tensor.strides != nullptr) place.strides = {tensor.strides, count};
    return place;
  }
  template <class DLDevice>
  static DlDevice device_of(const DLDevice& device) {
    if constexpr (requires { device.device_type; })
      return {static_cast<std::int32_t>(device.device_type), device.device_id};
    else
      return {static_cast<std::int32_t>(device.type), device.id};
  }

  Block* block_ = nullptr;
};

/// New memory on a device, contents not set. An engine gives its own to `kernelize`, so that outputs of
/// kernels come from its pools.
using Allocator = std::function<Tensor(const TensorSpec&)>;

/// Plain memory of this process, aligned to 64 bytes. An undefined tensor for devices other than the CPU, or
/// when there is no memory.
Tensor allocate_on_cpu(const TensorSpec& spec);

}  // namespace kernels::layers
