#include <algorithm>

#include "kernels/base/byte_source.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/ops/signatures.h"
#include "kernels/resolve/variants.h"

#include "listing.h"
#include "variant_content.h"
#include "variant_signature.h"

namespace kernels::ops {

namespace {

Result<std::vector<std::string>> choose(const Listing& listing, const SignatureQuestion& question) {
  auto names = variant_folders(listing.files);
  if (!question.target) return names;
  auto parsed = resolve::parse_variant_names(names);
  auto decisions = resolve::decide(parsed.valid, *question.target);
  if (decisions.empty() || !decisions.front().accepted())
    return fail(
        Error(Errc::no_match, "no variant of `" + question.repo.str() + "` fits " + question.target->name)
            .with_hint("verify them all with `--all-variants`, or describe a machine with `--target`"));
  return std::vector{decisions.front().variant.name()};
}

bool is_left_out(const SignatureQuestion& question, verify::Outcome outcome) {
  return (question.leave_out_unsigned && outcome == verify::Outcome::signature_bundle_missing) ||
         (question.leave_out_digestless && outcome == verify::Outcome::digest_missing);
}

/// SHA-256 of a file of any size. Errors  not_found; io.
Result<verify::Sha256> hash_file(const std::filesystem::path& file) {
  auto source = open_file_source(file);
  if (!source) return fail(std::move(source).error());
  Hasher hasher(HashAlgorithm::sha256);
  for (std::uint64_t at = 0; at < (*source)->size(); at += ByteSource::kMaxView) {
    auto bytes = (*source)->view(at, std::min(ByteSource::kMaxView, (*source)->size() - at));
    if (!bytes) return fail(std::move(bytes).error());
    hasher.update(bytes->bytes());
  }
  auto value = hasher.finish();
  verify::Sha256 out = {};
  std::ranges::copy(value, out.begin());
  return out;
}

}  // namespace

Result<std::vector<VariantSignature>> verify_signatures(const QueryInputs& inputs,
                                                        const SignatureQuestion& question,
                                                        const SignatureRules& rules,
                                                        const std::stop_token& stop) {
  auto listings = list_revisions(inputs, question.repo, question.revision, {}, stop);
  if (!listings) return fail(std::move(listings).error());
  auto listing = std::ranges::find_if(*listings, [](const Listing& item) { return item.named.asked; });
  if (listing == listings->end())
    return fail(Errc::not_found, "`" + question.repo.str() + "` has no such revision");
  auto names = choose(*listing, question);
  if (!names) return fail(std::move(names).error());
  cache::Layout layout(inputs.settings.cache, inputs.settings.state);
  HubSession session(inputs.settings, inputs.user_agent, stop);
  std::vector<VariantSignature> out;
  for (const auto& name : *names) {
    bool is_here =
        inputs.settings.offline || is_cached(layout, question.repo, listing->commit, listing->files, name);
    auto content = is_here ? folder_content(layout.snapshot(question.repo, listing->commit) / "build" / name)
                           : hub_content(session, question.repo, listing->commit, listing->files, name);
    if (!content) return fail(std::move(content).error());
    VariantSignature one{.repo = question.repo, .commit = listing->commit, .variant = name, .result = {}};
    one.result = verify_variant(**content, rules, WithDigest::yes);
    if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
    if (!is_left_out(question, one.result.outcome)) out.push_back(std::move(one));
  }
  return out;
}

Result<std::vector<VariantSignature>> verify_folder(const std::filesystem::path& folder, const RepoId& repo,
                                                    const SignatureRules& rules) {
  std::vector<VariantSignature> out;
  if (rules.policy() == SignaturePolicy::off) return out;
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  for (const auto& name : *names) {
    auto content = folder_content(*build / name);
    if (!content) return fail(std::move(content).error());
    VariantSignature one{.repo = repo, .commit = {}, .variant = name, .result = {}};
    one.result = verify_variant(**content, rules, WithDigest::yes);
    if (rules.policy() == SignaturePolicy::require && !one.is_good()) return fail(signature_error(one));
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::expected<verify::Signature, verify::Failure>> verify_blob(const std::filesystem::path& file,
                                                                      const std::filesystem::path& bundle,
                                                                      const verify::NamedSigner& signer,
                                                                      const SignatureRules& rules) {
  auto text = read_file(bundle, 1 << 20);
  if (!text) return fail(std::move(text).error());
  auto parsed = verify::parse_bundle(*text, "`" + bundle.string() + "`");
  if (!parsed) return fail(std::move(parsed).error());
  auto hash = hash_file(file);
  if (!hash) return fail(std::move(hash).error());
  return verify::verify_bundle(*parsed, *hash, rules.root(), {signer});
}

}  // namespace kernels::ops
