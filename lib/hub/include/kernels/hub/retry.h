#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "kernels/hub/http.h"

namespace kernels::hub {

/// True for answers that another try may better: 408, 429, 500, 502, 503, 504.
bool is_transient(int status);

/// The wait before retry `n` (1-based): 1, 2, 4, 8, 8 … seconds. A 429 whose rate limit is used up says when
/// the window ends; any transient answer may say Retry-After in whole seconds; both are honoured, one second
/// added. `head` is empty when no answer came at all. Nothing: the wait asked for is over `longest`; give up.
/// Source  the retry rules of the Python package `huggingface_hub`.
std::optional<std::chrono::milliseconds> retry_delay(int n, const std::optional<ResponseHead>& head,
                                                     std::chrono::seconds longest = std::chrono::minutes(5));

/// Seconds of a Retry-After header: a whole number with blanks around it; dates and fractions are ignored.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text);

/// The draft-standard header `"resolvers";r=0;t=172`: requests left and seconds until the window ends.
struct RateLimit {
  std::uint64_t remaining = 0;
  std::chrono::seconds reset{0};
};
std::optional<RateLimit> parse_rate_limit(std::string_view text);

/// The header `bytes 0-499/1234`: both ends included, and the size of the whole file.
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};
/// Nothing for any other form; says nothing about whether the numbers fit each other.
std::optional<ContentRange> parse_content_range(std::string_view text);

/// The URL of `rel="next"` in a Link header, as it stands there.
std::optional<std::string> next_link(std::string_view header);

}  // namespace kernels::hub
