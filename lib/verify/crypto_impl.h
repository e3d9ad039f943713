#pragma once

// OpenSSL's objects and the few operations on them that verification needs. Not part of the public interface.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/ts.h>
#include <openssl/x509.h>

#include "kernels/verify/bundle.h"

namespace kernels::verify {

template <auto release>
struct Release {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
inline void release_certificates(STACK_OF(X509) * certificates) {
  sk_X509_pop_free(certificates, X509_free);
}
using KeyHandle = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using CertificateHandle = std::unique_ptr<X509, Release<X509_free>>;
using CertificatesHandle = std::unique_ptr<STACK_OF(X509), Release<release_certificates>>;
using StoreHandle = std::unique_ptr<X509_STORE, Release<X509_STORE_free>>;
using StoreContextHandle = std::unique_ptr<X509_STORE_CTX, Release<X509_STORE_CTX_free>>;

/// OpenSSL with its default provider and without the machine's configuration, which must not change a
/// verdict. Made once, kept for the life of the process.
OSSL_LIB_CTX* library_context();

const unsigned char* data_of(std::span<const std::byte> bytes);
Bytes bytes_of(const unsigned char* data, std::size_t size);
Bytes bytes_of(std::string_view text);
Sha256 sha256(std::span<const std::byte> first, std::span<const std::byte> second = {},
              std::span<const std::byte> third = {});

/// A certificate from DER. Errors  corrupt: not one, or bytes after it.
Result<CertificateHandle> parse_certificate(std::span<const std::byte> der);
/// All of them, in their order.
Result<CertificatesHandle> parse_certificates(std::span<const Bytes> ders);

/// A public key from DER. Errors  corrupt: not one, bytes after it, or not of that kind.
Result<KeyHandle> parse_key(std::span<const std::byte> der, KeyKind kind);
/// Nothing for keys of other kinds.
std::optional<KeyKind> kind_of(const EVP_PKEY* key);

enum class Digest { by_key, sha256 };
/// Whether the key signed the text. Curves are used with the hash of their size, unless told; RSA with
/// SHA-256 and PKCS#1 v1.5.
bool is_signed_by(EVP_PKEY* key, KeyKind kind, std::span<const std::byte> text,
                  std::span<const std::byte> signature, Digest digest = Digest::by_key);

/// Why a signature is not good.
inline Error refuse(std::string text) {
  return Error(Errc::integrity, std::move(text));
}

/// What OpenSSL last complained about, which is forgotten with it.
std::string last_complaint();

}  // namespace kernels::verify
