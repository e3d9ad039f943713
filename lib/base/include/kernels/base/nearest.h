#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kernels {

/// The candidate that a person most likely meant by `word`, for "did you mean" hints: the one with the
/// smallest edit distance, if that is at most a third of the longer word (and at least one edit is allowed).
/// Returns nothing when no candidate is near. Ties go to the earlier candidate.
/// Cost: O(candidates · |word| · |candidate|); meant for short lists of short words.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace kernels
