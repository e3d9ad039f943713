#pragma once

#include <string_view>

namespace kernels {

/// Whether the text is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. JSON and
/// Python both need names that are. Cost  one pass.
bool is_utf8(std::string_view text);

}  // namespace kernels
