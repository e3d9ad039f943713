#pragma once

#include <string>
#include <string_view>

// Text of others, which may be hostile, inside other people's formats. Characters that nobody sees (controls,
// marks that turn the direction of text) and bytes that are not UTF-8 become U+FFFD.

namespace kernels::app {

/// As code in GitHub-flavoured Markdown, on one line, also in a cell of a table: nothing in it is markup, a
/// link, a mention or the end of the cell. Empty for an empty text.
std::string markdown_code(std::string_view text);

/// For XML 1.0, as content or in an attribute in double quotes. Line breaks and tabs survive both.
std::string xml_text(std::string_view text);

}  // namespace kernels::app
