#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <sys/mman.h>

namespace kernels::bench {

/// Memory that the system may back with huge pages, and that is not cleared before it is written: images of
/// gigabytes are otherwise page faults for most of their time.
template <class T>
struct HugePages {
  using value_type = T;
  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}  // NOLINT(google-explicit-constructor): what an allocator has to have

  T* allocate(std::size_t count) {
    constexpr std::size_t kPage = std::size_t{2} << 20;
    const std::size_t bytes = count * sizeof(T);
    if (bytes < 2 * kPage) return static_cast<T*>(::operator new(bytes));
    void* memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
    if (memory == nullptr) throw std::bad_alloc();
    madvise(memory, bytes, MADV_HUGEPAGE);  // a wish
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) {
    if (count * sizeof(T) < std::size_t{4} << 20)
      ::operator delete(memory);
    else
      std::free(memory);
  }

  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;  // as it is: nothing is cleared
  }
  template <class U, class... Arguments>
  void construct(U* place, Arguments&&... arguments) {
    std::construct_at(place, std::forward<Arguments>(arguments)...);
  }
  bool operator==(const HugePages&) const = default;
};

/// The bytes of a buffer.
using Image = std::vector<std::byte, HugePages<std::byte>>;

}  // namespace kernels::bench
