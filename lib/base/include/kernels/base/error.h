#pragma once

#include <expected>
#include <string>
#include <vector>

namespace kernels {

/// What a caller can do about a failure. A code exists only if some caller branches on it.
enum class Errc {
  invalid_argument,  ///< the user wrote something that cannot be meant: a flag, a name, a project file
  not_found,         ///< the thing asked for does not exist where it was looked for
  no_match,          ///< candidates exist, none of them fits
  network,           ///< the Hub or the way to it failed: connection, timeout, 5xx, rate limit
  access_denied,     ///< the Hub wants a token, another token, or an accepted licence
  untrusted,         ///< the publisher is not trusted and the project does not say otherwise
  integrity,         ///< bytes differ from what was locked, or a name would leave its place
  corrupt,           ///< data does not have the form that it must have
  io,                ///< this machine: disk full, permission, read-only, no such device
  interrupted,       ///< the user asked to stop
  unsupported,       ///< well formed, but this program or machine cannot do it
};

/// One failure: a code to act on, a text to read, the steps that were under way, a next action.
///
/// Text is a lower-case phrase without a final full stop; the offending value stands in backticks.
/// Steps go from the inside out ("reading `x`", "locking `y`"). The hint is one concrete action.
class Error {
 public:
  Error(Errc code, std::string text) : code_(code), text_(std::move(text)) {}

  Errc code() const { return code_; }
  const std::string& text() const { return text_; }
  const std::vector<std::string>& steps() const { return steps_; }
  const std::string& hint() const { return hint_; }

  /// Adds what was being done, innermost first; returns itself so that it ends a `return`.
  Error&& while_doing(std::string step) && {
    steps_.push_back(std::move(step));
    return std::move(*this);
  }
  /// Puts the place before the text: `kernels.toml:12: …`.
  Error&& at(const std::string& place) && {
    text_.insert(0, place + ": ");
    return std::move(*this);
  }
  /// The same failure seen from further out, where it means something else: a file of the project that cannot
  /// be read is the user's to mend, an answer of the Hub is not.
  Error&& as(Errc code) && {
    code_ = code;
    return std::move(*this);
  }
  /// Sets the next action, unless a better informed place below has already set one.
  Error&& with_hint(std::string hint) && {
    if (hint_.empty()) hint_ = std::move(hint);
    return std::move(*this);
  }

 private:
  Errc code_;
  std::string text_;
  std::vector<std::string> steps_;
  std::string hint_;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::io, "…")` from a function that returns a Result of any type.
std::unexpected<Error> fail(Errc code, std::string text);
std::unexpected<Error> fail(Error error);

/// An Errc::io error for a failed system call: "cannot <action> `<path>`: <text of errno>".
Error system_error(const std::string& action, const std::string& path, int errno_value);

/// The error as it is shown: "text", then one line "  while …" for each step, without the hint.
std::string describe(const Error& error);

}  // namespace kernels
