#include <array>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include "kernels/base/hash.h"

#include "crypto_impl.h"

namespace kernels::verify {

OSSL_LIB_CTX* library_context() {
  static OSSL_LIB_CTX* const context = [] {
    auto* made = OSSL_LIB_CTX_new();
    // Without it every signature is refused, which is the right end of a machine whose OpenSSL is broken.
    OSSL_PROVIDER_load(made, "default");
    return made;
  }();
  return context;
}

const unsigned char* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Bytes bytes_of(const unsigned char* data, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  return {begin, begin + size};
}

Bytes bytes_of(std::string_view text) {
  return bytes_of(reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

Sha256 sha256(std::span<const std::byte> first, std::span<const std::byte> second,
              std::span<const std::byte> third) {
  Hasher hasher(HashAlgorithm::sha256);
  for (auto part : {first, second, third})
    hasher.update(part);
  auto value = hasher.finish();
  Sha256 out = {};
  std::ranges::copy(value, out.begin());
  return out;
}

Result<CertificateHandle> parse_certificate(std::span<const std::byte> der) {
  ERR_clear_error();
  const auto* at = data_of(der);
  auto* made = X509_new_ex(library_context(), nullptr);
  // On failure it releases what it was given.
  if (made == nullptr || d2i_X509(&made, &at, static_cast<long>(der.size())) == nullptr)
    return fail(Errc::corrupt, "not a certificate (" + last_complaint() + ")");
  CertificateHandle certificate(made);
  if (at != data_of(der) + der.size()) return fail(Errc::corrupt, "bytes after a certificate");
  return certificate;
}

Result<CertificatesHandle> parse_certificates(std::span<const Bytes> ders) {
  CertificatesHandle out(sk_X509_new_null());
  for (const auto& der : ders) {
    auto certificate = parse_certificate(der);
    if (!certificate) return fail(std::move(certificate).error());
    if (sk_X509_push(out.get(), certificate->get()) == 0) return fail(Errc::io, "out of memory");
    [[maybe_unused]] auto* owned = certificate->release();
  }
  return out;
}

std::optional<KeyKind> kind_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return KeyKind::ed25519;
  if (EVP_PKEY_is_a(key, "RSA") == 1) return KeyKind::rsa;
  if (EVP_PKEY_is_a(key, "EC") != 1) return std::nullopt;
  std::array<char, 64> name{};
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name.data(), name.size(), nullptr) != 1)
    return std::nullopt;
  std::string_view curve(name.data());
  if (curve == "prime256v1") return KeyKind::ecdsa_p256;
  if (curve == "secp384r1") return KeyKind::ecdsa_p384;
  if (curve == "secp521r1") return KeyKind::ecdsa_p521;
  return std::nullopt;
}

Result<KeyHandle> parse_key(std::span<const std::byte> der, KeyKind kind) {
  ERR_clear_error();
  const auto* at = data_of(der);
  KeyHandle key(d2i_PUBKEY_ex(nullptr, &at, static_cast<long>(der.size()), library_context(), nullptr));
  if (!key) return fail(Errc::corrupt, "not a public key (" + last_complaint() + ")");
  if (at != data_of(der) + der.size()) return fail(Errc::corrupt, "bytes after a public key");
  if (kind_of(key.get()) != kind) return fail(Errc::corrupt, "a public key of another kind than is stated");
  return key;
}

/// Null for Ed25519, which has its own.
static const char* hash_name(KeyKind kind, Digest digest) {
  if (kind == KeyKind::ed25519) return nullptr;
  if (digest == Digest::sha256) return "SHA256";
  if (kind == KeyKind::ecdsa_p384) return "SHA384";
  if (kind == KeyKind::ecdsa_p521) return "SHA512";
  return "SHA256";
}

bool is_signed_by(EVP_PKEY* key, KeyKind kind, std::span<const std::byte> text,
                  std::span<const std::byte> signature, Digest digest) {
  ERR_clear_error();
  std::unique_ptr<EVP_MD_CTX, Release<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  bool good =
      context != nullptr &&
      EVP_DigestVerifyInit_ex(context.get(), &key_context, hash_name(kind, digest), library_context(),
                              nullptr, key, nullptr) == 1 &&
      (kind != KeyKind::rsa || EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PADDING) == 1) &&
      EVP_DigestVerify(context.get(), data_of(signature), signature.size(), data_of(text), text.size()) == 1;
  ERR_clear_error();
  return good;
}

std::string last_complaint() {
  auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "malformed" : text;
}

}  // namespace kernels::verify
