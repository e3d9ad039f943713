#include "trust_targets.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/cache/verified.h"
#include "kernels/verify/verify.h"

#include "certificate_impl.h"
#include "log_entry_impl.h"
#include "targets.h"
#include "timestamp_impl.h"

namespace kernels::fuzz {

namespace {

const verify::TrustedRoot& root() {
  static const auto value =
      verify::parse_trusted_root(verify::embedded_trusted_root(), "embedded").value_or(verify::TrustedRoot{});
  return value;
}

/// A bundle that was signed in production, and its file.
struct Seed {
  verify::Bundle bundle;
  verify::Sha256 file;
  verify::Policy policy = {verify::NamedSigner{
      .issuer = "https://token.actions.githubusercontent.com",
      .name = "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"}};

  Seed() {
    const std::string folder = KERNELS_TEST_SIGSTORE "/production/bundle_v3_github.whl";
    auto wheel = read_file(folder);
    auto text = read_file(folder + ".sigstore");
    require(wheel && text, "the seed is there");
    bundle = verify::parse_bundle(*text, "seed").value_or(verify::Bundle{});
    file = verify::sha256(std::as_bytes(std::span(*wheel)));
    require(verify::verify_bundle(bundle, file, root(), policy).has_value(), "the seed is good");
  }
};
const Seed& seed() {
  static const Seed value;
  return value;
}

/// One edit of a text or of bytes.
template <class Container>
void edit(Container& field, std::size_t at, unsigned what, unsigned value) {
  using Element = typename Container::value_type;
  auto element = static_cast<Element>(value);
  if (field.empty()) {
    field.push_back(element);
    return;
  }
  auto place = field.begin() + static_cast<std::ptrdiff_t>(at % field.size());
  if (what == 0) *place = element;
  if (what == 1) field.insert(place, element);
  if (what == 2) field.erase(place);
  if (what == 3) field.resize(at % field.size());
}

void edit_number(std::uint64_t& number, std::size_t at, unsigned value) {
  number ^= std::uint64_t{value} << (at % 57);
}

void edit_proof(verify::InclusionProof& proof, std::size_t at, unsigned what, unsigned value) {
  if (proof.hashes.empty() || what == 1)
    proof.hashes.emplace_back();
  else if (what == 2)
    proof.hashes.pop_back();
  else
    proof.hashes[at % proof.hashes.size()][at / 64 % 32] ^= static_cast<std::byte>(value);
}

void apply(verify::Bundle& bundle, unsigned field, std::size_t at, unsigned what, unsigned value) {
  auto& entry = bundle.entry;
  std::uint64_t time = entry.integrated_time.value_or(0);
  switch (field % 13) {
    case 0:
      return edit(bundle.certificate, at, what, value);
    case 1:
      return edit(bundle.signature, at, what, value);
    case 2:
      return edit(entry.body, at, what, value);
    case 3:
      return edit(entry.log_id, at, what, value);
    case 4:
      return edit(entry.promise, at, what, value);
    case 5:
      return edit(entry.proof.checkpoint, at, what, value);
    case 6:
      return edit_proof(entry.proof, at, what, value);
    case 7:
      entry.proof.root[at % 32] ^= static_cast<std::byte>(value);
      return;
    case 8:
      return edit_number(entry.index, at, value);
    case 9:
      return edit_number(entry.proof.index, at, value);
    case 10:
      return edit_number(entry.proof.tree_size, at, value);
    case 11:
      edit_number(time, at, value);
      entry.integrated_time = time;
      return;
    default:
      bundle.timestamps.emplace_back();
      return edit(bundle.timestamps.back(), at, what, value);
  }
}

}  // namespace

void sigstore_bundle(std::string_view bytes) {
  auto bundle = verify::parse_bundle(bytes, "bundle");
  if (!bundle) return require(!describe(bundle.error()).empty(), "an error says something");
  require(!bundle->certificate.empty() && !bundle->signature.empty(),
          "a bundle has certificate and signature");
  require(bundle->entry.proof.index < bundle->entry.proof.tree_size, "an entry is in its tree");
  require(bundle->entry.proof.hashes.size() <= 64 && bundle->timestamps.size() <= 32, "lists are bounded");
  require(bundle->entry.promise.empty() || bundle->entry.integrated_time, "a promise has its time");
}

void trusted_root(std::string_view bytes) {
  auto parsed = verify::parse_trusted_root(bytes, "root");
  if (!parsed) return require(!describe(parsed.error()).empty(), "an error says something");
  for (const auto* logs : {&parsed->logs, &parsed->certificate_logs})
    for (const auto& log : *logs)
      require(verify::parse_key(log.key, log.kind).has_value() && log.id.size() == 32,
              "a log has a key and an id");
  for (const auto* authorities : {&parsed->certificate_authorities, &parsed->timestamp_authorities})
    for (const auto& authority : *authorities)
      require(!authority.chain.empty() && verify::parse_certificates(authority.chain).has_value(),
              "an authority has certificates");
}

void certificate(std::string_view bytes) {
  auto parsed = verify::parse_certificate(std::as_bytes(std::span(bytes)));
  if (!parsed) return;
  auto* leaf = parsed->get();
  for (int number = 1; number <= 24; ++number)
    verify::fulcio_extension(leaf, number);
  verify::alternative_names(leaf);
  verify::is_signer(leaf, verify::default_policy().front());
  auto profile = verify::check_profile(leaf);
  auto kind = verify::kind_of(X509_get0_pubkey(leaf));
  require(!profile || (kind && *kind != verify::KeyKind::rsa), "a signer has a key on a curve");
  if (auto timestamp = verify::read_certificate_timestamp(leaf)) {
    auto text = verify::certificate_log_text(leaf, leaf, *timestamp);
    require(!text || text->size() > 40, "a log signs the certificate");
  }
  require(!verify::check_certificate_log(leaf, leaf, root()),
          "nobody logged a made-up certificate of its own issuer");
}

void timestamp(std::string_view bytes) {
  auto result = verify::check_timestamp(verify::bytes_of(bytes), verify::bytes_of("signature"), root());
  require(!result.time, "nobody vouches for this signature");
  require(!result.reason.empty(), "a refusal says why");
}

void checkpoint(std::string_view bytes) {
  auto parsed = verify::parse_checkpoint(bytes);
  if (!parsed) return require(!describe(parsed.error()).empty(), "an error says something");
  require(parsed->text.ends_with('\n') && bytes.starts_with(parsed->text),
          "the signed text is its first part");
  require(parsed->root.size() == 32 && parsed->lines.size() <= 64, "roots and lines are bounded");
  for (const auto& line : parsed->lines)
    require(line.hint.size() == 4 && !line.signature.empty(), "a line has a hint and a signature");
}

void receipts(std::string_view bytes) {
  auto record = cache::VerifiedRecord::of_lines(bytes);
  auto written = record.lines();
  auto again = cache::VerifiedRecord::of_lines(written);
  require(again.lines() == written, "what is written is read again");
  require(!cache::unseal_record(bytes, std::string(32, 'k'), *RepoId::parse("acme/relu")),
          "nothing is sealed by chance");
}

void verification(std::string_view bytes) {
  constexpr std::size_t kEdit = 6;
  auto bundle = seed().bundle;
  auto number = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  for (std::size_t at = 0; at + kEdit <= bytes.size(); at += kEdit)
    apply(bundle, number(at), number(at + 1) + 256U * number(at + 2) + 65536U * number(at + 3),
          number(at + 4) % 4U, number(at + 5));
  auto result = verify::verify_bundle(bundle, seed().file, root(), seed().policy);
  if (!result) return require(!result.error().reason.empty(), "a refusal says why");
  const auto& good = seed().bundle;
  require(bundle.certificate == good.certificate && bundle.signature == good.signature &&
              bundle.entry.body == good.entry.body && bundle.entry.index == good.entry.index &&
              bundle.entry.integrated_time == good.entry.integrated_time &&
              bundle.entry.proof.root == good.entry.proof.root && bundle.entry.log_id == good.entry.log_id,
          "what was accepted is what was signed");
}

}  // namespace kernels::fuzz
