#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace kernels::cache {

/// The bytes [begin, end) of a file.
struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  auto operator<=>(const Extent&) const = default;
};

/// Sorted, merged pieces of one file; neighbours that touch become one.
class ExtentSet {
 public:
  void add(Extent extent);
  /// The end of the piece that covers `offset`, or `offset` if none does.
  std::uint64_t contiguous_end(std::uint64_t offset) const;
  /// What is missing of [0, size).
  std::vector<Extent> missing(std::uint64_t size) const;
  std::vector<Extent> missing_within(Extent window) const;
  std::uint64_t total() const;

 private:
  std::vector<Extent> pieces_;
};

class BlobWriter;

}  // namespace kernels::cache
