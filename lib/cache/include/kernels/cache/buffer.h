#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace kernels::cache {

/// Downloaded bytes on their way to the disk and the hash: fixed capacity, filled from the front, never
/// initialised. Begins at a page boundary, as a write past the page cache needs it. Movable; a moved-from
/// buffer is empty and has no capacity.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t capacity)
      : memory_(static_cast<std::byte*>(::operator new(capacity, kPage))), capacity_(capacity) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    capacity_ = std::exchange(other.capacity_, 0);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() = default;

  std::span<const std::byte> bytes() const { return {memory_.get(), size_}; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  std::size_t space() const { return capacity_ - size_; }

  /// Takes as many bytes as there is space for. Returns how many.
  std::size_t append(std::span<const std::byte> bytes) {
    auto count = bytes.size() < space() ? bytes.size() : space();
    if (count > 0) std::memcpy(memory_.get() + size_, bytes.data(), count);
    size_ += count;
    return count;
  }
  void clear() { size_ = 0; }

 private:
  static constexpr std::align_val_t kPage{4096};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kPage); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace kernels::cache
