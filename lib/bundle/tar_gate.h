#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/error.h"

#include "tar_header.h"

namespace kernels::bundle {

/// Looks at the bytes of a tar archive before a tar reader does, and lets only the one form pass that the
/// writer makes: headers that are `tar_header` of their name and size to the last byte, zeros as padding, two
/// blocks of zeros at the end and nothing behind. There is then nothing that two readers could understand in
/// different ways.
class TarGate {
 public:
  explicit TarGate(std::string where) : where_(std::move(where)) {}

  /// The next bytes. Errors  integrity, see the `archive-…` and `entry-…` rules.
  Status take(std::span<const std::byte> bytes);
  /// There are no more. Errors  integrity: the archive is not at its end.
  Status finish() const;

 private:
  enum class Part { header, content, padding, end };
  Status take_some(std::span<const std::byte>& bytes);
  Status examine_header();
  std::unexpected<Error> differs(std::string_view name, std::span<const std::byte> expected) const;
  std::unexpected<Error> refused(const char* rule, std::string expected, std::string found) const;

  std::string where_;
  std::string entry_;  ///< the name that stands in errors
  Part part_ = Part::header;
  std::array<std::byte, kTarBlock> block_{};
  std::size_t filled_ = 0;  ///< of the block
  int zero_blocks_ = 0;
  std::uint64_t left_ = 0;     ///< of content or padding
  std::uint64_t padding_ = 0;  ///< after the content
};

}  // namespace kernels::bundle
