#include "kernels/cache/extents.h"

#include <algorithm>
#include <iterator>

namespace kernels::cache {

void ExtentSet::add(Extent extent) {
  if (extent.begin >= extent.end) return;
  auto first = std::ranges::lower_bound(pieces_, extent.begin, {}, &Extent::end);
  auto last = first;
  for (; last != pieces_.end() && last->begin <= extent.end; ++last) {
    extent.begin = std::min(extent.begin, last->begin);
    extent.end = std::max(extent.end, last->end);
  }
  first = pieces_.erase(first, last);
  pieces_.insert(first, extent);
}

std::uint64_t ExtentSet::contiguous_end(std::uint64_t offset) const {
  auto found = std::ranges::upper_bound(pieces_, offset, {}, &Extent::begin);
  if (found == pieces_.begin()) return offset;
  return std::max(offset, std::prev(found)->end);
}

std::vector<Extent> ExtentSet::missing(std::uint64_t size) const {
  return missing_within({.begin = 0, .end = size});
}

std::vector<Extent> ExtentSet::missing_within(Extent window) const {
  std::vector<Extent> out;
  auto at = window.begin;
  auto first = std::ranges::upper_bound(pieces_, window.begin, {}, &Extent::end);
  for (auto piece = first; piece != pieces_.end() && piece->begin < window.end; ++piece) {
    if (at < piece->begin) out.push_back({.begin = at, .end = piece->begin});
    at = piece->end;
  }
  if (at < window.end) out.push_back({.begin = at, .end = window.end});
  return out;
}

std::uint64_t ExtentSet::total() const {
  std::uint64_t sum = 0;
  for (const auto& piece : pieces_)
    sum += piece.size();
  return sum;
}

}  // namespace kernels::cache
