#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/model/metadata.h"
#include "kernels/verify/verify.h"

namespace kernels::verify {

/// How the verification of a variant ended; the names and their order are those of the Python package.
enum class Outcome {
  success,
  signature_bundle_missing,        ///< there is no `metadata.json.sigstore`
  signature_bundle_invalid,        ///< it is not a bundle
  metadata_missing,                ///< there is no `metadata.json`
  signature_verification_failure,  ///< the bundle does not show that a trusted signer signed this metadata
  metadata_invalid,                ///< what was signed is not metadata
  digest_missing,                  ///< it holds no digest: nothing but the metadata was signed
  digest_verification_failure,     ///< files are missing, unknown or different
};
/// `Success`, `SignatureBundleMissing`, …
std::string to_string(Outcome outcome);

struct VariantVerification {
  Outcome outcome = Outcome::signature_bundle_missing;
  std::optional<Step> step = {};            ///< that failed, for a verification failure
  std::string reason = {};                  ///< one phrase, empty for a success
  std::string hint = {};                    ///< what to do; may be empty
  std::optional<Signature> signature = {};  ///< of whoever signed, once that is shown
  std::optional<Metadata> metadata = {};    ///< what was signed
};

/// Verifies `metadata.json` of a variant against its bundle; nothing stands for a file that is not there. The
/// metadata is read only when its signature holds. That files have the digests in it is for the caller to
/// check: a success means that there are digests. `what` names the metadata in errors. Threads  any.
VariantVerification verify_metadata(std::optional<std::string_view> metadata,
                                    std::optional<std::string_view> bundle, const TrustedRoot& root,
                                    const Policy& policy, const std::string& what);

}  // namespace kernels::verify
