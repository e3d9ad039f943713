#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace kernels::bundle {

/// Takes what an archive holds, in its order. A failure ends the walk and is what the walk returns.
class EntrySink {
 public:
  virtual ~EntrySink() = default;
  virtual Status begin(std::string_view name, std::uint64_t size) = 0;
  virtual Status data(std::span<const std::byte> bytes) = 0;
};

/// The next bytes of the file, valid until the next call; empty at its end.
using Input = std::function<Result<std::span<const std::byte>>()>;

enum class Wrapping { zstd, none };

/// Reads a tar archive with libarchive, of which only tar and zstd are linked, and lets only what a bundle
/// may hold pass: plain ustar headers of regular files whose metadata is fixed, one right after the other.
/// Names, order and sizes are for the sink to judge. This is the code that runs in a process of its own.
/// Errors  integrity, see the `archive-…` and `entry-…` rules; what `input` and `sink` fail with.
Status walk_archive(const Input& input, Wrapping wrapping, const std::string& where, EntrySink& sink);

}  // namespace kernels::bundle
