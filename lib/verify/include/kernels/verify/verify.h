#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/verify/bundle.h"
#include "kernels/verify/trusted_root.h"

namespace kernels::verify {

/// A workflow of GitHub Actions: `https://github.com/<owner>/<name>/.github/workflows/<file>@<ref>`. It must
/// be part of the repository that it was run for: anyone may call another repository's workflow.
struct WorkflowSigner {
  std::string source_repository;       ///< `https://github.com/<owner>/<name>`
  std::vector<std::string> workflows;  ///< any of them, written as above
  bool operator==(const WorkflowSigner&) const = default;
};

/// Anyone whom an OpenID issuer knows under a name: an address of e-mail or a URI.
struct NamedSigner {
  std::string issuer;
  std::string name;
  bool operator==(const NamedSigner&) const = default;
};

using Signer = std::variant<WorkflowSigner, NamedSigner>;

/// Whose signatures count: any of these. None: nobody's.
using Policy = std::vector<Signer>;

/// Those of the Python package: the workflows of kernels-community on its branch `main`.
Policy default_policy();

/// Reads a signer of `[trust] signers`: a workflow as above. Errors  invalid_argument.
Result<WorkflowSigner> parse_workflow_signer(std::string_view text);

/// A text that is equal for equal policies and different for others; to hash, not to show.
std::string fingerprint(const Policy& policy);

/// What a certificate says about who signed, and when that was. Everything that is shown of it may have been
/// chosen by the signer: escape it.
struct Signature {
  std::string issuer;             ///< OpenID issuer, such as that of GitHub Actions
  std::string name;               ///< subject alternative name
  std::string source_repository;  ///< empty where the certificate has none, as the following
  std::string source_commit;
  std::string source_ref;
  std::string workflow;  ///< the workflow that ran
  std::string run;       ///< its page
  std::string log;       ///< host of the transparency log
  std::uint64_t log_index = 0;
  Milliseconds signed_at = 0;  ///< the earliest time that was established
};

/// The steps of verification, in their order.
enum class Step {
  log_promise,        ///< the log's signed promise, which fixes the time
  timestamp,          ///< RFC 3161 timestamps
  certificate_chain,  ///< from the signer's certificate to the trusted root, at the time of signing
  certificate_log,    ///< the certificate's entry in a certificate transparency log
  certificate,        ///< what kind of certificate it is
  identity,           ///< whose it is
  inclusion_proof,    ///< that the log has the entry
  checkpoint,         ///< that the log signed that tree
  signature,          ///< that the key of the certificate signed the file
  log_entry,          ///< that the logged entry is this signature of this file by this certificate
};
/// `certificate chain`, …
std::string to_string(Step step);

struct Failure {
  Step step = Step::log_promise;
  std::string reason;  ///< a phrase; may hold text of the certificate, escaped
  std::string hint;    ///< what to do; may be empty
};

/// Verifies a bundle against the SHA-256 of a file. Nothing is fetched and no clock is read: a certificate
/// must have been valid when the signature was made.
/// Source   Sigstore's client specification; RFC 5280, 6962, 3161; C2SP signed notes. Where that
/// specification
///          leaves a choice, the stricter one.
/// Threads  may be called by several at once. Cost  a few milliseconds.
std::expected<Signature, Failure> verify_bundle(const Bundle& bundle, const Sha256& file,
                                                const TrustedRoot& root, const Policy& policy);

}  // namespace kernels::verify
