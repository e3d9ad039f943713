#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/model/project.h"
#include "kernels/model/repo.h"
#include "kernels/model/target.h"
#include "kernels/ops/query.h"
#include "kernels/verify/metadata.h"

namespace kernels::ops {

/// What is asked of signatures, before it is read.
struct SignatureSettings {
  /// By the project, the environment and a flag; the strictest of those that say something counts.
  std::vector<std::optional<SignaturePolicy>> policies;
  std::vector<std::string> signers;                   ///< workflows, beside those that are trusted anyway
  std::optional<std::filesystem::path> trusted_root;  ///< none: the one that is embedded
};

/// The strictest of those that say something; `warn` if none does.
SignaturePolicy strictest(const std::vector<std::optional<SignaturePolicy>>& policies);

/// Whose signatures count, what they are traced back to, and what a kernel without one means. A value; copies
/// share the trusted root. Threads  may be used by several at once.
class SignatureRules {
 public:
  /// `warn`, the default signers, the embedded root.
  SignatureRules();
  /// Errors  invalid_argument: a signer that is not a workflow, a file that is not there or not a trusted
  ///         root.
  static Result<SignatureRules> make(const SignatureSettings& settings);

  SignaturePolicy policy() const { return policy_; }
  const verify::Policy& signers() const { return signers_; }
  /// SHA-256 over signers and trusted root: what was verified under the same rules need not be again.
  const std::string& id() const { return id_; }
  /// Read at the first use. Only the embedded one can be read so late, and it can always be read.
  const verify::TrustedRoot& root() const;
  /// The bytes of the trusted root.
  std::string_view root_text() const;
  /// Which trusted root it is, with its hash and date: for people.
  std::string root_description() const;

 private:
  struct Root;
  SignatureRules(SignaturePolicy policy, verify::Policy signers, std::shared_ptr<Root> root);
  SignaturePolicy policy_;
  verify::Policy signers_;
  std::shared_ptr<Root> root_;
  std::string id_;
};

/// What came of one variant's signature.
struct VariantSignature {
  RepoId repo;
  std::optional<Commit> commit;  ///< none: in a folder
  std::string variant;
  verify::VariantVerification result;
  bool is_receipt = false;  ///< verified in an earlier run, and nothing has changed since
  bool is_new = false;      ///< files of it came in this run

  bool is_good() const { return result.outcome == verify::Outcome::success; }
  /// Not signed, or not in a way that can be verified: `build/…` of `acme/relu` …, one line.
  std::string complaint() const;
};

/// The error for a variant that the rules refuse. Code  untrusted.
Error signature_error(const VariantSignature& signature);

/// Who signed, in a few words: `huggingface/kernels-community, build.yaml@refs/heads/main`. Without
/// characters that a terminal would obey.
std::string signer_name(const verify::Signature& signature);

/// Which variants of a revision to verify.
struct SignatureQuestion {
  RepoId repo;
  RevisionChoice revision;
  std::optional<Target> target = {};  ///< the preferred variant of it; none: all variants
  bool leave_out_unsigned = false;    ///< variants without a signature
  bool leave_out_digestless = false;  ///< variants whose metadata holds no digest
};

/// Verifies signatures and files of variants: those in the cache, or else straight from the Hub, without
/// writing them anywhere. Errors  as of `list_variants`; no_match: nothing fits the target.
Result<std::vector<VariantSignature>> verify_signatures(const QueryInputs& inputs,
                                                        const SignatureQuestion& question,
                                                        const SignatureRules& rules,
                                                        const std::stop_token& stop);

/// Verifies the builds in a folder that is to be imported under a name. Errors  untrusted: one that the rules
/// refuse; invalid_argument, io: no such folder.
Result<std::vector<VariantSignature>> verify_folder(const std::filesystem::path& folder, const RepoId& repo,
                                                    const SignatureRules& rules);

/// Verifies any file against a bundle, for a signer by name. Errors  not_found, io: a file that cannot be
/// read; corrupt: not a bundle. That the signature is not good is a value.
Result<std::expected<verify::Signature, verify::Failure>> verify_blob(const std::filesystem::path& file,
                                                                      const std::filesystem::path& bundle,
                                                                      const verify::NamedSigner& signer,
                                                                      const SignatureRules& rules);

}  // namespace kernels::ops
