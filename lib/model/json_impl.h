#pragma once

// Strict reading of JSON, shared by the parsers of this module and of `verify`. Not part of the public
// interface.

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/base/error.h"

namespace kernels::detail {

/// Keeps the order of keys, so that rewriting a file does not shuffle it.
using Json = nlohmann::ordered_json;

/// How much of a document is built. A value takes sixteen bytes or more; the members of an object are looked
/// through one after another, so that an object of many takes time by the square of their number.
struct JsonLimits {
  int levels = 64;
  std::size_t members = 20'000;                                  ///< of one object
  std::size_t values = std::numeric_limits<std::size_t>::max();  ///< of the document
};

/// Parses one document. `what` names it in errors (a file or URL).
/// Errors  corrupt, with line and column: bad syntax, more than the limits allow, or a key given twice in an
/// object.
Result<Json> parse_json(std::string_view text, const std::string& what, const JsonLimits& limits = {});

/// Reads the members of one object and says which is missing or of another type.
///
/// The first complaint is kept; later reads return empty values, so that a parser can read everything and ask
/// once, at the end, whether all was well.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string what);

  std::string text(const char* key);
  std::string text_or(const char* key, std::string fallback);
  std::optional<std::string> optional_text(const char* key);
  std::uint64_t number(const char* key);
  std::optional<std::uint64_t> optional_number(const char* key);
  bool flag_or(const char* key, bool fallback);
  std::vector<std::string> texts_or_empty(const char* key);
  /// The member if it is an array (object); an empty one and a complaint otherwise. `…_or_empty`: absent is
  /// fine.
  const Json& array(const char* key);
  const Json& array_or_empty(const char* key);
  const Json& object(const char* key);
  const Json& object_or_empty(const char* key);
  bool has(const char* key) const;
  /// Whether the member is absent or null.
  bool is_null(const char* key) const;

  /// Complains about members that were never asked for, suggesting the nearest known one.
  void refuse_unknown();
  void complain(Error error);
  /// Takes over a failed result's error as the complaint; returns the value otherwise.
  template <class T>
  std::optional<T> take(Result<T> result) {
    if (result) return std::move(*result);
    complain(std::move(result).error());
    return std::nullopt;
  }
  Status status() const;
  const std::string& what() const { return what_; }

 private:
  const Json* find(const char* key);
  void wrong_type(const char* key, const char* expected);
  const Json* object_ = nullptr;
  std::string what_;
  std::vector<std::string> known_;
  std::optional<Error> complaint_;
};

}  // namespace kernels::detail
