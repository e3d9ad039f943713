#include "kernels/layers/tensor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

namespace kernels::layers {

/// The head and the view stand as the ABI wants them.
struct Tensor::Block {
  tvm_ffi::Object head{};
  tvm_ffi::Tensor view{};
  std::array<std::int64_t, kMaxDimensions> sizes{};
  std::array<std::int64_t, kMaxDimensions> strides{};
  std::function<void()> release;
};

static constexpr std::uint64_t kStrongCount = 0xffffffffULL;

Sizes::Sizes(std::span<const std::int64_t> sizes) : count_(sizes.size()) {
  if (sizes.size() > kMost) throw std::length_error("a tensor has at most 8 dimensions");
  std::ranges::copy(sizes, sizes_.begin());
}

std::string to_string(DataType type) {
  const char* name = "type";
  if (type.code == tvm_ffi::kSignedInt) name = "int";
  if (type.code == tvm_ffi::kUnsignedInt) name = "uint";
  if (type.code == tvm_ffi::kFloatingPoint) name = "float";
  if (type.code == tvm_ffi::kBfloat) name = "bfloat";
  auto out = name + std::to_string(type.bits);
  return type.lanes == 1 ? out : out + "x" + std::to_string(type.lanes);
}

std::uint64_t bytes_of(DataType type) {
  return (static_cast<std::uint64_t>(type.bits) * type.lanes + 7) / 8;
}

void Tensor::on_release(void* self, int which) {
  auto* block = static_cast<Block*>(self);
  // Weak references to tensors do not exist in this process, so both counts end together.
  if ((which & 2) == 0) return;
  auto release = std::move(block->release);
  std::unique_ptr<Block> gone(block);
  gone.reset();
  if (release) release();
}

Tensor Tensor::own(void* data, const Place& place, std::function<void()> release) {
  // A broken promise of the caller, like an index outside of a vector.
  if (place.sizes.size() > kMaxDimensions ||
      (!place.strides.empty() && place.strides.size() != place.sizes.size()))
    throw std::length_error("a tensor has at most 8 dimensions, and as many strides as sizes");
  auto block = std::make_unique<Block>();
  block->head = {.counts = tvm_ffi::kOneStrongOneWeak,
                 .type_index = tvm_ffi::kTensor,
                 .padding = 0,
                 .deleter = &Tensor::on_release};
  std::int64_t dense = 1;
  for (std::size_t i = place.sizes.size(); i-- > 0;) {
    block->sizes[i] = place.sizes[i];
    block->strides[i] = place.strides.empty() ? dense : place.strides[i];
    dense *= place.sizes[i];
  }
  block->view = {.data = data,
                 .device = place.device,
                 .ndim = static_cast<std::int32_t>(place.sizes.size()),
                 .dtype = place.type,
                 .shape = block->sizes.data(),
                 .strides = block->strides.data(),
                 .byte_offset = 0};
  block->release = std::move(release);
  Tensor out;
  out.block_ = block.release();
  return out;
}

Tensor Tensor::borrow(void* data, const Place& place) {
  return own(data, place, {});
}

Tensor::Tensor(const Tensor& other) noexcept : block_(other.block_) {
  if (block_ != nullptr) std::atomic_ref(block_->head.counts).fetch_add(1, std::memory_order_relaxed);
}

Tensor::Tensor(Tensor&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}

Tensor& Tensor::operator=(Tensor other) noexcept {
  std::swap(block_, other.block_);
  return *this;
}

Tensor::~Tensor() {
  if (block_ == nullptr) return;
  auto before = std::atomic_ref(block_->head.counts).fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kStrongCount) == 1) on_release(block_, 3);
}

const tvm_ffi::Tensor* Tensor::dltensor() const {
  return &block_->view;
}

std::uint64_t Tensor::elements() const {
  std::uint64_t out = 1;
  for (auto size : sizes())
    out *= static_cast<std::uint64_t>(size);
  return out;
}

TensorSpec Tensor::spec() const {
  return {.type = type(), .device = device(), .sizes = Sizes(sizes())};
}

Tensor allocate_on_cpu(const TensorSpec& spec) {
  constexpr std::size_t kAlignment = 64;
  if (spec.device.type != tvm_ffi::kCpu) return {};
  std::uint64_t bytes = bytes_of(spec.type);
  for (auto size : spec.sizes)
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) return {};
  bytes = bytes / kAlignment * kAlignment + kAlignment;
  void* memory = std::aligned_alloc(kAlignment, bytes);
  if (memory == nullptr) return {};
  return Tensor::own(memory, {.type = spec.type, .sizes = spec.sizes, .device = spec.device},
                     [memory] { std::free(memory); });
}

}  // namespace kernels::layers
