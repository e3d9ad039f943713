#include "kernels/verify/verify.h"

#include <algorithm>

#include "certificate_impl.h"
#include "log_entry_impl.h"
#include "timestamp_impl.h"

namespace kernels::verify {

namespace {

Failure failure_of(Step step, const Error& error) {
  return {.step = step, .reason = error.text(), .hint = error.hint()};
}

/// The state of one verification. Each step returns nothing or why it failed; they run in the order of
/// `Step`.
class Verification {
 public:
  Verification(const Bundle& bundle, const Sha256& file, const TrustedRoot& root, const Policy& policy)
      : bundle_(bundle), file_(file), root_(root), policy_(policy) {}

  std::optional<Failure> run() {
    auto certificate = parse_certificate(bundle_.certificate);
    if (!certificate) return failure_of(Step::certificate, certificate.error());
    certificate_ = std::move(*certificate);
    for (auto step : {&Verification::log_promise, &Verification::timestamps, &Verification::certificate_chain,
                      &Verification::certificate_log, &Verification::certificate, &Verification::identity,
                      &Verification::inclusion_proof, &Verification::checkpoint, &Verification::signature,
                      &Verification::log_entry})
      if (auto failure = (this->*step)()) return failure;
    return std::nullopt;
  }

  Signature result() const {
    auto* leaf = certificate_.get();
    auto names = alternative_names(leaf);
    auto text = [&](int number) { return fulcio_extension(leaf, number).value_or(""); };
    return {.issuer = fulcio_extension(leaf, 8).value_or(text(1)),
            .name = names.empty() ? "" : names.front(),
            .source_repository = text(12),
            .source_commit = text(13),
            .source_ref = text(14),
            .workflow = text(9),
            .run = text(21),
            .log = logs_.front()->host,
            .log_index = bundle_.entry.index,
            .signed_at = *std::ranges::min_element(times_)};
  }

 private:
  using Outcome = std::optional<Failure>;

  static Outcome outcome(Step step, const Status& status) {
    if (status) return std::nullopt;
    return failure_of(step, status.error());
  }

  Outcome log_promise() {
    auto logs = find_logs(root_, bundle_.entry);
    if (!logs) return failure_of(Step::log_promise, logs.error());
    logs_ = std::move(*logs);
    if (bundle_.entry.promise.empty()) return std::nullopt;
    auto time = check_promise(bundle_.entry, logs_);
    if (!time) return failure_of(Step::log_promise, time.error());
    times_.push_back(*time);
    return std::nullopt;
  }

  /// One that does not verify is passed over where another time stands, as every client does.
  Outcome timestamps() {
    std::string reason = "neither a promise of the log nor a timestamp fixes the time of signing";
    if (!bundle_.timestamps.empty() && root_.timestamp_authorities.empty())
      return Failure{
          .step = Step::timestamp, .reason = "the trusted root has no timestamp authority", .hint = {}};
    for (const auto& der : bundle_.timestamps) {
      auto result = check_timestamp(der, bundle_.signature, root_);
      if (!result.is_readable) return Failure{.step = Step::timestamp, .reason = result.reason, .hint = {}};
      if (result.time)
        times_.push_back(*result.time);
      else
        reason = result.reason;
    }
    if (times_.empty()) return Failure{.step = Step::timestamp, .reason = reason, .hint = {}};
    return std::nullopt;
  }

  Outcome certificate_chain() {
    for (auto time : times_) {
      auto issuer = find_issuer(certificate_.get(), root_, time);
      if (!issuer) return failure_of(Step::certificate_chain, issuer.error());
      issuer_ = std::move(*issuer);
    }
    return std::nullopt;
  }

  Outcome certificate_log() {
    return outcome(Step::certificate_log, check_certificate_log(certificate_.get(), issuer_.get(), root_));
  }

  Outcome certificate() { return outcome(Step::certificate, check_profile(certificate_.get())); }

  Outcome identity() {
    for (const auto& signer : policy_)
      if (is_signer(certificate_.get(), signer)) return std::nullopt;
    auto ran = fulcio_extension(certificate_.get(), 9);
    auto names = alternative_names(certificate_.get());
    auto who = ran ? *ran : names.empty() ? std::string("someone without a name") : names.front();
    return Failure{.step = Step::identity,
                   .reason = "signed by `" + escaped(who) + "`, who is not among the trusted signers",
                   .hint = "if you trust them, name them in `[trust] signers`"};
  }

  Outcome inclusion_proof() { return outcome(Step::inclusion_proof, check_inclusion(bundle_.entry)); }

  Outcome checkpoint() { return outcome(Step::checkpoint, check_checkpoint(bundle_.entry, logs_, times_)); }

  Outcome signature() {
    auto* key = X509_get0_pubkey(certificate_.get());
    if (bundle_.digest && !std::ranges::equal(*bundle_.digest, file_))
      return Failure{.step = Step::signature, .reason = "the bundle is about another file", .hint = {}};
    if (!is_digest_signed(key))
      return Failure{.step = Step::signature, .reason = "the signature is not one of this file", .hint = {}};
    return std::nullopt;
  }

  Outcome log_entry() {
    auto kind = kind_of(X509_get0_pubkey(certificate_.get())).value_or(KeyKind::ecdsa_p256);
    return outcome(Step::log_entry, check_body(bundle_, kind, file_));
  }

  /// Over the SHA-256 of the file, whichever curve the key is on.
  bool is_digest_signed(EVP_PKEY* key) const;
  static std::string escaped(std::string_view text);

  const Bundle& bundle_;
  const Sha256& file_;
  const TrustedRoot& root_;
  const Policy& policy_;
  CertificateHandle certificate_;
  CertificateHandle issuer_;
  std::vector<const Log*> logs_;
  std::vector<Milliseconds> times_;
};

bool Verification::is_digest_signed(EVP_PKEY* key) const {
  std::unique_ptr<EVP_PKEY_CTX, Release<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_from_pkey(library_context(), key, nullptr));
  return context && EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_verify(context.get(), data_of(bundle_.signature), bundle_.signature.size(), data_of(file_),
                         file_.size()) == 1;
}

/// Text of a certificate must not reach a terminal as it is.
std::string Verification::escaped(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 300))
    out += c >= ' ' && c < '\x7f' && c != '`' ? c : '?';
  return out;
}

}  // namespace

std::string to_string(Step step) {
  switch (step) {
    case Step::log_promise:
      return "log promise";
    case Step::timestamp:
      return "timestamp";
    case Step::certificate_chain:
      return "certificate chain";
    case Step::certificate_log:
      return "certificate log";
    case Step::certificate:
      return "certificate";
    case Step::identity:
      return "identity";
    case Step::inclusion_proof:
      return "inclusion proof";
    case Step::checkpoint:
      return "checkpoint";
    case Step::signature:
      return "signature";
    case Step::log_entry:
      return "log entry";
  }
  return "";
}

std::expected<Signature, Failure> verify_bundle(const Bundle& bundle, const Sha256& file,
                                                const TrustedRoot& root, const Policy& policy) {
  Verification verification(bundle, file, root, policy);
  if (auto failure = verification.run()) return std::unexpected(std::move(*failure));
  return verification.result();
}

}  // namespace kernels::verify
