#pragma once

// Python's lexical analysis: text in, tokens out. Not part of the public interface.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::inspect {

inline constexpr std::size_t kMaxPythonText = std::size_t{1} << 20;
inline constexpr std::size_t kMaxNesting = 100;

enum class TokenKind : std::uint8_t { name, number, string, op, newline, indent, dedent, end };

/// `indent`, `dedent` and `end` have no text.
struct Token {
  TokenKind kind = TokenKind::end;
  std::uint32_t begin = 0;
  std::uint32_t length = 0;
};

/// A text whose line ends are all `\n`, without byte order mark, and its tokens; the last one is `end`.
/// Brackets are balanced, each logical line ends with a `newline`, each `indent` has its `dedent`.
struct PythonTokens {
  std::string text;
  std::vector<Token> tokens;
};

/// Errors  as of `read_layer_source`.
Result<PythonTokens> read_python_tokens(std::string_view python);

/// The 1-based line of an offset.
std::size_t line_of(std::string_view text, std::size_t offset);

}  // namespace kernels::inspect
