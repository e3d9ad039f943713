#pragma once

// Members as protobuf's JSON mapping writes them, read strictly. Not part of the public interface.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/verify/bundle.h"

#include "json_impl.h"

namespace kernels::verify {

using detail::Json;
using detail::ObjectReader;

/// Parses a document of at most 1 MiB and 16 levels that is an object. Errors  corrupt.
Result<Json> parse_document(std::string_view text, const std::string& what);

/// Base64; complains if the member is not there, or not base64.
Bytes read_bytes(ObjectReader& reader, const char* key);
/// Nothing if it is absent or null.
std::optional<Bytes> read_optional_bytes(ObjectReader& reader, const char* key);
/// Base64 of 32 bytes.
Sha256 read_hash(ObjectReader& reader, const char* key);
/// A 64-bit integer: a string of decimal digits. Complains if it is not there, or above 2^63 - 1.
std::uint64_t read_integer(ObjectReader& reader, const char* key);
std::optional<std::uint64_t> read_optional_integer(ObjectReader& reader, const char* key);

/// `2022-12-31T23:59:59.999Z`; nothing for any other form.
std::optional<Milliseconds> parse_time(std::string_view text);

}  // namespace kernels::verify
