#include "kernels/bundle/rules.h"

namespace kernels::bundle {

std::unexpected<Error> refuse(const Refusal& refusal) {
  return fail(Errc::integrity, refusal.where + ": expected " + refusal.expected + ", found " + refusal.found +
                                   " (rule " + std::string(refusal.rule) + ")");
}

std::string in_ticks(std::string_view text) {
  constexpr std::size_t kMost = 120;
  std::string out = "`";
  for (char letter : text.substr(0, kMost))
    out += letter < ' ' || letter > '~' || letter == '`' ? '?' : letter;
  return out + (text.size() > kMost ? "…`" : "`");
}

}  // namespace kernels::bundle
