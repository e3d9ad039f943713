#include "kernels/verify/metadata.h"

#include "crypto_impl.h"

namespace kernels::verify {

std::string to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::success:
      return "Success";
    case Outcome::signature_bundle_missing:
      return "SignatureBundleMissing";
    case Outcome::signature_bundle_invalid:
      return "SignatureBundleInvalid";
    case Outcome::metadata_missing:
      return "MetadataMissing";
    case Outcome::signature_verification_failure:
      return "SignatureVerificationFailure";
    case Outcome::metadata_invalid:
      return "MetadataInvalid";
    case Outcome::digest_missing:
      return "DigestMissing";
    case Outcome::digest_verification_failure:
      return "DigestVerificationFailure";
  }
  return "";
}

VariantVerification verify_metadata(std::optional<std::string_view> metadata,
                                    std::optional<std::string_view> bundle, const TrustedRoot& root,
                                    const Policy& policy, const std::string& what) {
  auto ended = [](Outcome outcome, std::string reason, std::string hint = {}) {
    return VariantVerification{.outcome = outcome, .reason = std::move(reason), .hint = std::move(hint)};
  };
  if (!bundle) return ended(Outcome::signature_bundle_missing, "not signed");
  auto parsed = parse_bundle(*bundle, what + ".sigstore");
  if (!parsed)
    return ended(Outcome::signature_bundle_invalid, "not a Sigstore bundle: " + parsed.error().text(),
                 parsed.error().hint());
  if (!metadata) return ended(Outcome::metadata_missing, "a signature without the metadata that it is of");
  auto verified = verify_bundle(*parsed, sha256(std::as_bytes(std::span(*metadata))), root, policy);
  if (!verified) {
    auto out =
        ended(Outcome::signature_verification_failure,
              to_string(verified.error().step) + ": " + verified.error().reason, verified.error().hint);
    out.step = verified.error().step;
    return out;
  }
  auto read = parse_metadata(*metadata, what);
  VariantVerification out{.outcome = Outcome::success, .signature = std::move(*verified)};
  if (!read) {
    out.outcome = Outcome::metadata_invalid;
    out.reason = read.error().text();
    return out;
  }
  out.metadata = std::move(*read);
  if (!out.metadata->digest_algorithm) {
    out.outcome = Outcome::digest_missing;
    out.reason = "the signed metadata holds no digest of the other files";
  }
  return out;
}

}  // namespace kernels::verify
