#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kernels::hub {

/// A request target taken apart: path segments between the slashes as they were sent, each decoded
/// afterwards, so that `%2F` stays inside its segment.
struct Target {
  std::vector<std::string> segments;
  std::map<std::string, std::string, std::less<>> query;

  /// The segments from `first` on, joined by `/`.
  std::string tail(std::size_t first) const;
  std::string_view value(std::string_view key) const;
};

/// Nothing if an escape is broken or the target is neither a path nor an absolute URL.
std::optional<Target> parse_target(std::string_view text);

/// `a=b&a=c` in order, decoded (`+` is a space); nothing if an escape is broken.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view text);

/// Everything but letters, digits and `_.-~` becomes a percent escape; `/` too, unless it is in `keep`.
std::string percent_encode(std::string_view text, std::string_view keep = "");

/// The part of a file that a Range header asks for.
struct AskedRange {
  enum class Kind { whole, part, unsatisfiable };
  Kind kind = Kind::whole;
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};

/// One range of bytes of a file of `size` bytes. Several ranges, other units and malformed headers are
/// ignored, as RFC 9110 (14.2) allows: the whole file is meant.
AskedRange parse_range(std::string_view header, std::uint64_t size);

}  // namespace kernels::hub
