#include <algorithm>

#include <openssl/ct.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificate_impl.h"

namespace kernels::verify {

namespace {

using TimestampsHandle = std::unique_ptr<STACK_OF(SCT), Release<SCT_LIST_free>>;

void append_number(Bytes& out, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i)
    out.push_back(static_cast<std::byte>(value >> (8U * static_cast<unsigned>(i))));
}

/// The certificate as it was before the log signed it: without that one extension.
Result<Bytes> precertificate(X509* certificate) {
  CertificateHandle copy(X509_dup(certificate));
  int at = copy ? X509_get_ext_by_NID(copy.get(), NID_ct_precert_scts, -1) : -1;
  if (at < 0) return fail(refuse("the certificate holds no signed certificate timestamp"));
  X509_EXTENSION_free(X509_delete_ext(copy.get(), at));
  unsigned char* der = nullptr;
  int size = i2d_re_X509_tbs(copy.get(), &der);
  if (size <= 0) return fail(refuse("the certificate cannot be written again"));
  auto out = bytes_of(der, static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

Result<Bytes> issuer_key_hash(X509* issuer) {
  unsigned char* der = nullptr;
  int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(issuer), &der);
  if (size <= 0) return fail(refuse("the issuer's key cannot be written"));
  auto hash = sha256(bytes_of(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return Bytes(hash.begin(), hash.end());
}

bool is_algorithm_of(KeyKind kind, int nid) {
  if (kind == KeyKind::rsa) return nid == NID_sha256WithRSAEncryption;
  return kind != KeyKind::ed25519 && nid == NID_ecdsa_with_SHA256;
}

}  // namespace

Result<CertificateTimestamp> read_certificate_timestamp(X509* certificate) {
  ERR_clear_error();
  TimestampsHandle list(
      static_cast<STACK_OF(SCT)*>(X509_get_ext_d2i(certificate, NID_ct_precert_scts, nullptr, nullptr)));
  ERR_clear_error();
  if (!list || sk_SCT_num(list.get()) != 1)
    return fail(refuse("the certificate does not hold exactly one signed certificate timestamp"));
  const auto* timestamp = sk_SCT_value(list.get(), 0);
  if (SCT_get_version(timestamp) != SCT_VERSION_V1)
    return fail(refuse("a signed certificate timestamp of another version than 1"));
  unsigned char* data = nullptr;
  CertificateTimestamp out;
  auto size = SCT_get0_log_id(timestamp, &data);
  out.log_id = bytes_of(data, size);
  out.time = SCT_get_timestamp(timestamp);
  size = SCT_get0_extensions(timestamp, &data);
  out.extensions = bytes_of(data, size);
  size = SCT_get0_signature(timestamp, &data);
  out.signature = bytes_of(data, size);
  out.signature_nid = SCT_get_signature_nid(timestamp);
  return out;
}

Result<Bytes> certificate_log_text(X509* certificate, X509* issuer, const CertificateTimestamp& timestamp) {
  auto issued_by = issuer_key_hash(issuer);
  auto rest = precertificate(certificate);
  if (!issued_by) return fail(std::move(issued_by).error());
  if (!rest) return fail(std::move(rest).error());
  Bytes out;
  append_number(out, 0, 2);  // version 1, of a certificate timestamp
  append_number(out, timestamp.time, 8);
  append_number(out, 1, 2);  // about a precertificate
  out.insert(out.end(), issued_by->begin(), issued_by->end());
  append_number(out, rest->size(), 3);
  out.insert(out.end(), rest->begin(), rest->end());
  append_number(out, timestamp.extensions.size(), 2);
  out.insert(out.end(), timestamp.extensions.begin(), timestamp.extensions.end());
  return out;
}

Status check_certificate_log(X509* certificate, X509* issuer, const TrustedRoot& root) {
  auto timestamp = read_certificate_timestamp(certificate);
  if (!timestamp) return fail(std::move(timestamp).error());
  auto text = certificate_log_text(certificate, issuer, *timestamp);
  if (!text) return fail(std::move(text).error());
  bool known = false;
  for (const auto& log : root.certificate_logs) {
    if (!std::ranges::equal(log.id, timestamp->log_id)) continue;
    known = true;
    if (!log.validity.holds(static_cast<Milliseconds>(timestamp->time))) continue;
    auto key = parse_key(log.key, log.kind);
    if (key && is_algorithm_of(log.kind, timestamp->signature_nid) &&
        is_signed_by(key->get(), log.kind, *text, timestamp->signature, Digest::sha256))
      return {};
  }
  if (known)
    return fail(refuse("the certificate timestamp is not signed by its log, or not while its key was valid"));
  return fail(refuse("the certificate was logged by a log that the trusted root does not have")
                  .with_hint("the trusted root may be too old: name a newer one with `--trusted-root FILE`"));
}

}  // namespace kernels::verify
