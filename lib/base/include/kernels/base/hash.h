#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels {

enum class HashAlgorithm { sha1, sha256, sha512 };

/// Length of the raw value in bytes: 20, 32 or 64.
std::size_t hash_size(HashAlgorithm algorithm);

/// A hash of a stream of bytes, computed by OpenSSL (which uses the CPU's SHA instructions).
///
/// `git_blob(size)` starts the hash that git gives to a file of that size: SHA-1 over "blob <size>\0" and the
/// content. Movable, not copyable. Not for use by two threads at once.
class Hasher {
 public:
  explicit Hasher(HashAlgorithm algorithm);
  static Hasher git_blob(std::uint64_t size);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// The raw value. The hasher is used up afterwards.
  std::vector<std::byte> finish();
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_hex(std::span<const std::byte> bytes);
/// Errors  corrupt: odd length or a character outside 0-9 a-f (capital letters are refused).
Result<std::vector<std::byte>> from_hex(std::string_view hex);
std::string to_base64(std::span<const std::byte> bytes);
/// Standard alphabet with padding. Errors  corrupt: anything else.
Result<std::vector<std::byte>> from_base64(std::string_view text);

std::string sha256_hex(std::string_view text);

/// HMAC-SHA256 of a text under a key of at most 64 bytes, hex. Source  RFC 2104.
std::string hmac_sha256_hex(std::span<const std::byte> key, std::string_view text);

/// True if `text` is `digits` characters long and all of them are 0-9 or a-f.
bool is_lower_hex(std::string_view text, std::size_t digits);

}  // namespace kernels
