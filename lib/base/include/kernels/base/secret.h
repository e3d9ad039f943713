#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __has_include(<format>)
#include <format>
#endif

namespace kernels {

/// A text that must not be seen: a Hub token. It shows as `****`, has no stream operator and no hash, and is
/// wiped when it is destroyed, moved from or replaced. `reveal` is called in one place, where the
/// Authorization header is made, and by the server that compares such a header.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(text) { wipe(text); }
  Secret(const Secret&) = default;
  // A moved std::string would leave a short text behind.
  // NOLINTNEXTLINE(performance-move-constructor-init)
  Secret(Secret&& other) noexcept : text_(other.text_) { wipe(other.text_); }
  Secret& operator=(Secret other) noexcept {
    text_.swap(other.text_);
    return *this;
  }
  ~Secret() { wipe(text_); }

  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  static void wipe(std::string& text) {
    volatile char* bytes = text.data();
    for (std::size_t i = 0; i < text.size(); ++i)
      bytes[i] = '\0';
    text.clear();
  }
  std::string text_;
};

/// `****`, whatever it is.
inline std::string to_string(const Secret& /*secret*/) {
  return "****";
}

/// `NAME=value` of this process's environment for a child that has no business with tokens: without the
/// variables that hold one.
std::vector<std::string> environment_without_tokens();

}  // namespace kernels

#ifdef __cpp_lib_format
template <>
struct std::formatter<kernels::Secret> : std::formatter<std::string_view> {
  auto format(const kernels::Secret&, std::format_context& context) const {
    return std::formatter<std::string_view>::format("****", context);
  }
};
#endif
