#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/model/version.h"

// What JSON for programs says of values that may be absent: null, and never a text that stands for nothing.

namespace kernels::app {

using Json = nlohmann::ordered_json;

inline Json or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

inline Json or_null(const std::optional<MajorMinor>& version) {
  return version ? Json(version->str()) : Json(nullptr);
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

/// A document as commands print it. Names in folders and in libraries are bytes of others: what is no UTF-8
/// is replaced.
inline std::string printed(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace kernels::app
