// OpenSSL's own functions for each hash, not its EVP layer: the first use of EVP reads OpenSSL's
// configuration and sets up its providers, which takes as long as the rest of a download that has nothing to
// do. The code that hashes is the same. OpenSSL 3 calls these functions deprecated and keeps them.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "kernels/base/hash.h"

#include <algorithm>
#include <array>
#include <variant>

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace kernels {

namespace {

/// One hash of OpenSSL: its state and its three functions.
template <class Context, std::size_t size, auto start, auto add, auto end>
class Digest {
 public:
  Digest() { start(&context_); }
  void update(const void* bytes, std::size_t count) { add(&context_, bytes, count); }
  std::vector<std::byte> finish() {
    std::vector<std::byte> out(size);
    end(reinterpret_cast<unsigned char*>(out.data()), &context_);
    return out;
  }

 private:
  Context context_;
};

using Sha1 = Digest<SHA_CTX, SHA_DIGEST_LENGTH, SHA1_Init, SHA1_Update, SHA1_Final>;
using Sha256 = Digest<SHA256_CTX, SHA256_DIGEST_LENGTH, SHA256_Init, SHA256_Update, SHA256_Final>;
using Sha512 = Digest<SHA512_CTX, SHA512_DIGEST_LENGTH, SHA512_Init, SHA512_Update, SHA512_Final>;

}  // namespace

struct Hasher::State {
  std::variant<Sha1, Sha256, Sha512> digest;
};

std::size_t hash_size(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::sha1:
      return 20;
    case HashAlgorithm::sha256:
      return 32;
    case HashAlgorithm::sha512:
      return 64;
  }
  return 0;
}

Hasher::Hasher(HashAlgorithm algorithm) : state_(std::make_unique<State>()) {
  if (algorithm == HashAlgorithm::sha256) state_->digest.emplace<Sha256>();
  if (algorithm == HashAlgorithm::sha512) state_->digest.emplace<Sha512>();
}

Hasher Hasher::git_blob(std::uint64_t size) {
  Hasher hasher(HashAlgorithm::sha1);
  hasher.update("blob " + std::to_string(size));
  hasher.update(std::string_view("\0", 1));
  return hasher;
}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  std::visit([&](auto& digest) { digest.update(bytes.data(), bytes.size()); }, state_->digest);
}

void Hasher::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::vector<std::byte> Hasher::finish() {
  return std::visit([](auto& digest) { return digest.finish(); }, state_->digest);
}

std::string Hasher::finish_hex() {
  return to_hex(finish());
}

std::string to_hex(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (auto byte : bytes) {
    out += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    out += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return out;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<std::vector<std::byte>> from_hex(std::string_view hex) {
  std::vector<std::byte> out;
  out.reserve(hex.size() / 2);
  if (hex.size() % 2 != 0) return fail(Errc::corrupt, "a hexadecimal text of odd length");
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    int high = hex_value(hex[i]);
    int low = hex_value(hex[i + 1]);
    if (high < 0 || low < 0) return fail(Errc::corrupt, "a character that is not one of 0-9 a-f");
    out.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return out;
}

std::string to_base64(std::span<const std::byte> bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

Result<std::vector<std::byte>> from_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  auto body = text.substr(0, text.size() - padding);
  if (text.size() % 4 != 0 || body.find_first_not_of(kAlphabet) != std::string_view::npos)
    return fail(Errc::corrupt, "a text that is not base64");
  std::vector<std::byte> out(text.size() / 4 * 3);
  if (text.empty()) return out;
  EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.erase(out.end() - static_cast<std::ptrdiff_t>(padding), out.end());
  // Bits that no byte takes must be zero: one value has one text.
  if (to_base64(out) != text) return fail(Errc::corrupt, "a text that is not base64");
  return out;
}

std::string sha256_hex(std::string_view text) {
  Hasher hasher(HashAlgorithm::sha256);
  hasher.update(text);
  return hasher.finish_hex();
}

std::string hmac_sha256_hex(std::span<const std::byte> key, std::string_view text) {
  std::array<std::byte, SHA256_CBLOCK> padded{};
  std::ranges::copy(key.first(std::min(key.size(), padded.size())), padded.begin());
  auto hasher_with = [&](std::byte mask) {
    auto block = padded;
    for (auto& byte : block)
      byte ^= mask;
    Hasher hasher(HashAlgorithm::sha256);
    hasher.update(std::span<const std::byte>(block));
    return hasher;
  };
  auto inner = hasher_with(std::byte{0x36});
  inner.update(text);
  auto outer = hasher_with(std::byte{0x5c});
  outer.update(std::span<const std::byte>(inner.finish()));
  return outer.finish_hex();
}

bool is_lower_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) { return hex_value(c) >= 0; });
}

}  // namespace kernels
