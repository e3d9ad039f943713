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

/// The next bytes, valid until the next call; empty at their end.
using Input = std::function<Result<std::span<const std::byte>>()>;

/// Reads a tar archive: every byte passes the gate (tar_gate.h) first, then libarchive, of which only the
/// reader of tar is there, reads it. Both must come to the same. Names, order and sizes are for the sink to
/// judge. This is the code that runs in a process of its own.
/// Errors  integrity, see the `archive-…` and `entry-…` rules; what `input` and `sink` fail with.
Status walk_archive(const Input& input, const std::string& where, EntrySink& sink);

}  // namespace kernels::bundle
