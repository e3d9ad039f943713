#include "kernels/ops/signatures.h"

#include <algorithm>
#include <mutex>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

namespace kernels::ops {

SignaturePolicy strictest(const std::vector<std::optional<SignaturePolicy>>& policies) {
  std::optional<SignaturePolicy> out;
  for (const auto& policy : policies)
    if (policy) out = out ? std::max(*out, *policy) : *policy;
  return out.value_or(SignaturePolicy::warn);
}

struct SignatureRules::Root {
  std::string file;  // empty: the embedded one
  std::string text;  // of the file
  std::string sha256 = std::string(verify::kEmbeddedRootSha256);
  std::once_flag once;
  verify::TrustedRoot value;
};

SignatureRules::SignatureRules()
    : SignatureRules(SignaturePolicy::warn, verify::default_policy(), std::make_shared<Root>()) {}

SignatureRules::SignatureRules(SignaturePolicy policy, verify::Policy signers, std::shared_ptr<Root> root)
    : policy_(policy),
      signers_(std::move(signers)),
      root_(std::move(root)),
      id_(sha256_hex(root_->sha256 + "\n" + verify::fingerprint(signers_))) {}

Result<SignatureRules> SignatureRules::make(const SignatureSettings& settings) {
  auto signers = verify::default_policy();
  for (const auto& text : settings.signers) {
    auto signer = verify::parse_workflow_signer(text);
    if (!signer) return fail(std::move(signer).error().while_doing("reading `[trust] signers`"));
    signers.emplace_back(std::move(*signer));
  }
  auto root = std::make_shared<Root>();
  if (settings.trusted_root) {
    auto name = "`" + settings.trusted_root->string() + "`";
    auto text = read_file(*settings.trusted_root, 1 << 20);
    if (!text)
      return fail(std::move(text).error().while_doing("reading the trusted root").as(Errc::invalid_argument));
    auto parsed = verify::parse_trusted_root(*text, name);
    if (!parsed)
      return fail(
          std::move(parsed).error().while_doing("reading the trusted root").as(Errc::invalid_argument));
    root->file = settings.trusted_root->string();
    root->text = std::move(*text);
    root->sha256 = parsed->sha256;
    std::call_once(root->once, [&] { root->value = std::move(*parsed); });
  }
  return SignatureRules(strictest(settings.policies), std::move(signers), std::move(root));
}

const verify::TrustedRoot& SignatureRules::root() const {
  std::call_once(root_->once, [this] {
    if (auto parsed =
            verify::parse_trusted_root(verify::embedded_trusted_root(), "the embedded trusted root"))
      root_->value = std::move(*parsed);
  });
  return root_->value;
}

std::string_view SignatureRules::root_text() const {
  return root_->file.empty() ? verify::embedded_trusted_root() : root_->text;
}

std::string SignatureRules::root_description() const {
  if (root_->file.empty())
    return "embedded, of " + std::string(verify::kEmbeddedRootDate) + ", SHA-256 " + root_->sha256;
  return root_->file + ", SHA-256 " + root_->sha256;
}

std::string VariantSignature::complaint() const {
  auto where = commit ? "` at " + commit->abbreviated() : std::string("`");
  return "`build/" + variant + "` of `" + repo.str() + where + ": " + result.reason;
}

Error signature_error(const VariantSignature& signature) {
  auto hint = signature.result.hint;
  if (hint.empty())
    hint = signature.result.outcome == verify::Outcome::signature_bundle_missing
               ? "signatures are required here; ask the publisher for one, or relax `[trust] signatures`"
               : "signatures are required here; nothing of it was kept";
  return Error(Errc::untrusted, signature.complaint() + " (" + to_string(signature.result.outcome) + ")")
      .with_hint(hint);
}

std::string signer_name(const verify::Signature& signature) {
  constexpr std::string_view kHost = "https://github.com/";
  constexpr std::string_view kFolder = "/.github/workflows/";
  auto text = signature.workflow.empty() ? signature.name : signature.workflow;
  if (auto folder = text.find(kFolder); text.starts_with(kHost) && folder != std::string::npos)
    text = text.substr(kHost.size(), folder - kHost.size()) + ", " + text.substr(folder + kFolder.size());
  std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

}  // namespace kernels::ops
