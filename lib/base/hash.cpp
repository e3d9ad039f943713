#include "kernels/base/hash.h"

#include <algorithm>
#include <array>
#include <new>

#include <openssl/evp.h>

namespace kernels {

namespace {
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

const EVP_MD* method(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::sha1:
      return EVP_sha1();
    case HashAlgorithm::sha256:
      return EVP_sha256();
    case HashAlgorithm::sha512:
      return EVP_sha512();
  }
  return nullptr;
}
}  // namespace

struct Hasher::State {
  std::unique_ptr<EVP_MD_CTX, FreeContext> context{EVP_MD_CTX_new()};
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
  if (!state_->context || EVP_DigestInit_ex(state_->context.get(), method(algorithm), nullptr) != 1)
    throw std::bad_alloc();
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
  EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size());
}

void Hasher::update(std::string_view text) {
  EVP_DigestUpdate(state_->context.get(), text.data(), text.size());
}

std::vector<std::byte> Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context.get(), raw.data(), &length);
  const auto* begin = reinterpret_cast<const std::byte*>(raw.data());
  return {begin, begin + length};
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

bool is_lower_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) { return hex_value(c) >= 0; });
}

}  // namespace kernels
