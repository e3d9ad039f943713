#pragma once

// The signer's certificate: how it is traced to the trusted root, and what it says. Not part of the public
// interface. All errors are `integrity` unless said otherwise.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/verify/verify.h"

#include "crypto_impl.h"

namespace kernels::verify {

/// Builds the path from a certificate to an authority of the trusted root, as of `time`.
/// Returns the certificate that issued it.
Result<CertificateHandle> find_issuer(X509* certificate, const TrustedRoot& root, Milliseconds time);

/// Verifies the one signed certificate timestamp that a certificate holds (RFC 6962 §3.2).
/// The bytes that a log signed are `certificate_log_text`.
Status check_certificate_log(X509* certificate, X509* issuer, const TrustedRoot& root);

/// A signed certificate timestamp.
struct CertificateTimestamp {
  Bytes log_id;
  std::uint64_t time = 0;  ///< milliseconds since 1970
  Bytes extensions;
  Bytes signature;
  int signature_nid = 0;  ///< OpenSSL's number of the algorithm
};
Result<CertificateTimestamp> read_certificate_timestamp(X509* certificate);
/// What the log signed.
Result<Bytes> certificate_log_text(X509* certificate, X509* issuer, const CertificateTimestamp& timestamp);

/// That it may sign code and nothing more, by an elliptic curve key.
Status check_profile(X509* certificate);

/// Extension 1.3.6.1.4.1.57264.1.<number> of Fulcio: raw text for 1 to 6, a DER UTF8String for others.
/// Nothing if it is absent, given twice or ill formed.
std::optional<std::string> fulcio_extension(const X509* certificate, int number);
/// Addresses of e-mail and URIs of the subject alternative name.
std::vector<std::string> alternative_names(const X509* certificate);

bool is_signer(const X509* certificate, const Signer& signer);

}  // namespace kernels::verify
