#include "kernels/ops/signatures.h"

#include "commands.h"
#include "revision_flags.h"
#include "targets.h"
#include "trust_flags.h"
#include "view_signature.h"

namespace kernels::app {

namespace {

struct SignatureOptions {
  std::string repo;
  std::string version;
  std::optional<std::string> target;
  bool all_variants = false;
  bool filter_unsigned = false;
  bool filter_no_digest = false;
  bool json = false;
  TrustFlags trust;
};

Result<ops::SignatureQuestion> to_question(const SignatureOptions& options, App& app) {
  auto repo = RepoId::parse(options.repo);
  if (!repo) return kernels::fail(std::move(repo).error());
  auto revision = to_choice(RevisionFlags{.version = options.version, .revision = {}});
  if (!revision) return kernels::fail(std::move(revision).error());
  ops::SignatureQuestion question{.repo = *repo, .revision = *revision};
  question.leave_out_unsigned = options.filter_unsigned;
  question.leave_out_digestless = options.filter_no_digest;
  if (options.all_variants) return question;
  TargetFlags flags;
  if (options.target) flags.names = {*options.target};
  auto targets = select_targets(flags, nullptr, app);
  if (!targets) return kernels::fail(std::move(targets).error());
  question.target = targets->front();
  return question;
}

ExitCode run_signature(const SignatureOptions& options, App& app) {
  auto settings = app.settings();
  if (!settings) return app.fail(settings.error());
  auto rules = signature_rules(options.trust, {});
  if (!rules) return app.fail(rules.error());
  auto question = to_question(options, app);
  if (!question) return app.fail(question.error());
  auto signatures = ops::verify_signatures({.settings = *settings, .user_agent = app.user_agent()}, *question,
                                           *rules, app.stop_token());
  if (!signatures) return app.fail(signatures.error());
  app.out().status("trusted root: " + rules->root_description());
  app.out().result(options.json ? signatures_json(*signatures, *rules) : signatures_text(*signatures));
  bool good = std::ranges::all_of(*signatures, &ops::VariantSignature::is_good);
  return good ? ExitCode::ok : ExitCode::integrity;
}

struct BlobOptions {
  std::string file;
  std::string bundle;
  std::string identity;
  std::string issuer;
  bool json = false;
  TrustFlags trust;
};

ExitCode run_blob(const BlobOptions& options, App& app) {
  auto rules = signature_rules(options.trust, {});
  if (!rules) return app.fail(rules.error());
  auto result = ops::verify_blob(options.file, options.bundle,
                                 {.issuer = options.issuer, .name = options.identity}, *rules);
  if (!result) return app.fail(result.error());
  app.out().status("trusted root: " + rules->root_description());
  if (options.json) app.out().result(blob_json(options.file, *result, *rules));
  if (!*result) {
    const auto& failure = result->error();
    return app.fail(Error(Errc::untrusted, "the signature of `" + options.file + "` is not good: " +
                                               to_string(failure.step) + ": " + failure.reason)
                        .with_hint(failure.hint));
  }
  if (!options.json) app.out().result(blob_text(options.file, **result));
  return ExitCode::ok;
}

}  // namespace

Command add_verify_signature(CLI::App& root) {
  auto options = std::make_shared<SignatureOptions>();
  auto* command =
      new_command(root, "verify-signature", "Who signed a kernel, and is it what they signed?",
                  "  kernels verify-signature kernels-community/activation 1\n"
                  "  kernels verify-signature kernels-community/activation 1 --all-variants --json\n");
  command->add_option("repo_id", options->repo, "Repository of the kernel")->type_name("REPO")->required();
  command->add_option("version", options->version, "Version to verify, that is the branch vN")
      ->type_name("N")
      ->required();
  auto* all =
      command->add_flag("--all-variants", options->all_variants, "Every variant, not only this machine's");
  command->add_option("--target", options->target, "The variant for another machine: key=value,…")
      ->type_name("TARGET")
      ->excludes(all);
  command->add_flag("--filter-unsigned", options->filter_unsigned, "Leave out variants that are not signed");
  command->add_flag("--filter-no-digest", options->filter_no_digest,
                    "Leave out variants whose metadata holds no digest");
  add_trusted_root_flag(*command, options->trust);
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_signature(*options, app); }};
}

Command add_verify_blob(CLI::App& root) {
  auto options = std::make_shared<BlobOptions>();
  auto* command =
      new_command(root, "verify-blob", "Verify the Sigstore signature of any file, without a network",
                  "  kernels verify-blob checksums.txt --bundle checksums.txt.sigstore \\\n"
                  "    --certificate-identity "
                  "https://github.com/acme/tool/.github/workflows/release.yaml@refs/tags/v1 \\\n"
                  "    --certificate-oidc-issuer https://token.actions.githubusercontent.com\n");
  command->add_option("file", options->file, "The file that was signed")->type_name("FILE")->required();
  command->add_option("--bundle", options->bundle, "Its Sigstore bundle")->type_name("BUNDLE")->required();
  command
      ->add_option("--certificate-identity", options->identity,
                   "Who must have signed it: an address of e-mail or a URI, as the certificate says it")
      ->type_name("ID")
      ->required();
  command->add_option("--certificate-oidc-issuer", options->issuer, "Who must have vouched for that identity")
      ->type_name("URL")
      ->required();
  add_trusted_root_flag(*command, options->trust);
  command->add_flag("--json", options->json, "Print the result as JSON");
  return {command, [options](App& app) { return run_blob(*options, app); }};
}

}  // namespace kernels::app
