#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace kernels {

/// A text that must not be seen: a Hub token. It formats as `****`, has no stream operator and is wiped when
/// it is destroyed. `reveal` is called in one place, where the Authorization header is made.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(Secret&&) noexcept = default;
  ~Secret() { wipe(); }

  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  void wipe() {
    volatile char* bytes = text_.data();
    for (std::size_t i = 0; i < text_.size(); ++i)
      bytes[i] = '\0';
  }
  std::string text_;
};

}  // namespace kernels
