#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kernels {

/// A place in a text that cannot be TOML, both counted from 1 (the column in bytes).
struct TomlFlaw {
  std::size_t line = 0;
  std::size_t column = 0;
  std::string text;  ///< what is wrong, in words
};

/// The first byte outside ASCII that stands where TOML has none: outside of strings and comments, or right
/// after a backslash. Nothing: a TOML parser may see the text, which can still be wrong in every other way.
///
/// Files from the Hub are hostile, and toml++ 3.3 has undefined behaviour for such bytes: its tables of
/// Unicode blanks declare the code points between the blanks unreachable. Cost  one pass. Source  TOML 1.0,
/// "Comment", "Keys" and "String".
std::optional<TomlFlaw> find_toml_flaw(std::string_view text);

/// The first byte outside ASCII, wherever it stands: for files from the Hub, which are hostile and have no
/// need of any. A scan that guesses where strings begin can be led astray; this one cannot.
std::optional<TomlFlaw> find_non_ascii(std::string_view text);

}  // namespace kernels
