#include "trust_flags.h"

#include "kernels/hub/settings.h"

namespace kernels::app {

void add_trusted_root_flag(CLI::App& command, TrustFlags& flags) {
  command
      .add_option("--trusted-root", flags.trusted_root,
                  "A Sigstore trusted_root.json in place of the embedded one")
      ->type_name("FILE");
}

void add_trust_flags(CLI::App& command, TrustFlags& flags) {
  command
      .add_option(
          "--signatures", flags.signatures,
          "What a kernel without a good signature means: off, warn (default) or require; the strictest "
          "of this, KERNELS_SIGNATURES and the project file counts")
      ->type_name("POLICY")
      ->check(CLI::IsMember({"off", "warn", "require"}));
  add_trusted_root_flag(command, flags);
}

static Result<std::optional<SignaturePolicy>> parse_policy(const std::optional<std::string>& text,
                                                           const std::string& where) {
  if (!text || text->empty()) return std::nullopt;
  auto policy = parse_signature_policy(*text);
  if (!policy) return fail(std::move(policy).error().while_doing("reading " + where));
  return *policy;
}

Result<ops::SignatureRules> signature_rules(const TrustFlags& flags, const TrustSettings& project) {
  auto variable = parse_policy(hub::process_environment()("KERNELS_SIGNATURES"),
                               "the environment variable KERNELS_SIGNATURES");
  if (!variable) return fail(std::move(variable).error());
  auto flag = parse_policy(flags.signatures, "`--signatures`");
  if (!flag) return fail(std::move(flag).error());
  return ops::SignatureRules::make({.policies = {project.signatures, *variable, *flag},
                                    .signers = project.signers,
                                    .trusted_root = flags.trusted_root});
}

}  // namespace kernels::app
