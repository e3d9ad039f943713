// Bundles by services with keys of their own: the identity of kernels-community, and one fault at a time.

#include <functional>
#include <random>

#include "kernels/base/hash.h"

#include "log_entry_impl.h"
#include "support/catch.h"
#include "support/seed.h"
#include "support/sigstore_authority.h"
#include "verify/cases.h"

using namespace kernels;
using namespace kernels::test;
using nlohmann::json;

namespace {

const SigstoreAuthority& authority() {
  static const SigstoreAuthority value;
  return value;
}

constexpr std::string_view kArtifact = "the metadata of a kernel";

Verdict verdict(const json& bundle, std::string_view artifact = kArtifact,
                const verify::Policy& policy = verify::default_policy()) {
  return verdict_of(bundle.dump(), artifact, authority().trusted_root().dump(), policy);
}

Signing with(const std::function<void(Signing&)>& change) {
  auto out = kernels_community();
  change(out);
  return out;
}

Signing extension(int number, std::optional<std::string> value) {
  return with([&](Signing& s) {
    if (value)
      s.identity[number] = *value;
    else
      s.identity.erase(number);
  });
}

}  // namespace

TEST_CASE("verify: what kernels-community signs is accepted, on either log and on three curves", "[verify]") {
  for (bool v2 : {false, true})
    for (const char* curve : {"P-256", "P-384"})
      for (bool timestamp : {false, true}) {
        INFO(v2 << " " << curve << " " << timestamp);
        auto bundle = authority().sign(kArtifact, with([&](Signing& s) {
                                         s.rekor_v2 = v2;
                                         s.curve = curve;
                                         s.timestamp = timestamp;
                                       }));
        auto result = verdict(bundle);
        INFO(result.reason);
        CHECK(result.step == "accepted");
      }
  auto bundle = authority().sign(kArtifact, with([](Signing& s) {
                                   s.promise = false;
                                   s.timestamp = true;
                                 }));
  CHECK(verdict(bundle).step == "accepted");
}

TEST_CASE("verify: what is known of a signature is told", "[verify]") {
  auto bundle = verify::parse_bundle(authority().sign(kArtifact).dump(), "bundle");
  auto root = verify::parse_trusted_root(authority().trusted_root().dump(), "root");
  REQUIRE(bundle);
  REQUIRE(root);
  auto signature = verify::verify_bundle(*bundle, hash_of(kArtifact), *root, verify::default_policy());
  REQUIRE(signature);
  CHECK(signature->issuer == "https://token.actions.githubusercontent.com");
  CHECK(signature->workflow ==
        "https://github.com/huggingface/kernels-community/.github/workflows/build.yaml@refs/heads/main");
  CHECK(signature->name == signature->workflow);
  CHECK(signature->source_repository == "https://github.com/huggingface/kernels-community");
  CHECK(signature->source_commit == std::string(40, 'a'));
  CHECK(signature->log == "rekor.test");
  CHECK(signature->log_index == 1003);
  CHECK(signature->signed_at == 1'780'000'000'000);
}

TEST_CASE("verify: each wrong identity is refused by name", "[verify]") {
  const std::string repository = "https://github.com/huggingface/kernels-community";
  const std::string issuer = "https://token.actions.githubusercontent.com";
  std::vector<Signing> rows = {
      extension(1, std::nullopt),
      extension(1, "https://accounts.google.com"),
      extension(1, issuer + "/"),
      extension(8, std::nullopt),
      extension(8, "https://token.actions.githubusercontent.com.evil.test"),
      extension(9, std::nullopt),
      extension(9, repository + "/.github/workflows/build.yaml@refs/heads/mainx"),
      extension(9, repository + "/.github/workflows/build.yaml@refs/heads/other"),
      extension(9, repository + "/.github/workflows/build.yaml@refs/pull/1/merge"),
      extension(9, repository + "/.github/workflows/test.yaml@refs/heads/main"),
      extension(
          9, "https://github.com/huggingface/Kernels-Community/.github/workflows/build.yaml@refs/heads/main"),
      extension(12, std::nullopt),
      extension(12, "https://github.com/mallory/kernels-community"),
      extension(12, repository + std::string(1, '\0')),
  };
  for (const auto& signing : rows) {
    auto result = verdict(authority().sign(kArtifact, signing));
    INFO(result.reason);
    CHECK(result.step == "identity");
  }
}

TEST_CASE("verify: only a named signer is accepted, and an empty list accepts nobody", "[verify]") {
  const std::string workflow = "https://github.com/acme/kernels/.github/workflows/build.yaml@refs/heads/main";
  auto bundle = authority().sign(kArtifact, run_of(workflow));
  CHECK(verdict(bundle).step == "identity");
  CHECK(verdict(bundle, kArtifact, {}).step == "identity");
  auto policy = verify::default_policy();
  policy.emplace_back(verify::parse_workflow_signer(workflow).value());
  CHECK(verdict(bundle, kArtifact, policy).step == "accepted");
  const std::string issuer = "https://token.actions.githubusercontent.com";
  CHECK(verdict(bundle, kArtifact, {verify::NamedSigner{.issuer = issuer, .name = workflow}}).step ==
        "accepted");
  CHECK(verdict(bundle, kArtifact, {verify::NamedSigner{.issuer = issuer, .name = workflow + "x"}}).step ==
        "identity");
  CHECK(verdict(bundle, kArtifact, {verify::NamedSigner{.issuer = "", .name = workflow}}).step == "identity");
}

TEST_CASE("verify: somebody else's run of a trusted workflow is refused", "[verify]") {
  const std::string workflow = "https://github.com/acme/kernels/.github/workflows/build.yaml@refs/heads/main";
  auto signing = run_of(workflow);
  signing.identity[12] = "https://github.com/mallory/kernels";
  CHECK(verdict(authority().sign(kArtifact, signing), kArtifact,
                {verify::parse_workflow_signer(workflow).value()})
            .step == "identity");
}

TEST_CASE("verify: each wrong certificate is refused by its step", "[verify]") {
  struct Row {
    const char* name;
    std::function<void(Signing&)> change;
    const char* step;
  };
  std::vector<Row> rows = {
      {"authority",
       [](Signing& s) {
         s.basic_constraints = "critical,CA:TRUE";
         s.key_usage = "critical,digitalSignature,keyCertSign";
       },
       "certificate"},
      {"no usage", [](Signing& s) { s.key_usage = ""; }, "certificate"},
      {"other usage", [](Signing& s) { s.key_usage = "critical,keyAgreement"; }, "certificate"},
      {"no purpose", [](Signing& s) { s.extended_key_usage = ""; }, "certificate"},
      {"TLS server", [](Signing& s) { s.extended_key_usage = "serverAuth"; }, "certificate"},
      {"no log", [](Signing& s) { s.certificate_timestamps = 0; }, "certificate log"},
      {"two logs", [](Signing& s) { s.certificate_timestamps = 2; }, "certificate log"},
      {"foreign log", [](Signing& s) { s.foreign_certificate_log = true; }, "certificate log"},
      {"critical", [](Signing& s) { s.unknown_critical_extension = true; }, "certificate chain"},
      {"logged another file", [](Signing& s) { s.logged_artifact = "another"; }, "log entry"},
      {"logged another file, v2", [](Signing& s) { s.logged_artifact = "another", s.rekor_v2 = true; },
       "log entry"},
      {"no time", [](Signing& s) { s.promise = false; }, "timestamp"},
      {"timestamp after the certificate", [](Signing& s) { s.timestamp = true, s.timestamp_delay = 3600; },
       "certificate chain"},
      {"timestamp after the certificate, v2", [](Signing& s) { s.rekor_v2 = true, s.timestamp_delay = 3600; },
       "certificate chain"},
      {"before the authorities", [](Signing& s) { s.time = 1'600'000'000; }, "log promise"},
  };
  for (const auto& row : rows) {
    auto result = verdict(authority().sign(kArtifact, with(row.change)));
    INFO(row.name << ": " << result.reason);
    CHECK(result.step == row.step);
  }
}

TEST_CASE("verify: parts of another valid bundle do not fit", "[verify]") {
  auto one = authority().sign(kArtifact);
  auto other = authority().sign("other bytes");
  struct Row {
    const char* part;
    const char* step;
  };
  const std::vector<Row> rows = {
      {"/messageSignature", "signature"},
      {"/messageSignature/signature", "signature"},
      {"/messageSignature/messageDigest", "signature"},
      {"/verificationMaterial/certificate", "signature"},
      {"/verificationMaterial/tlogEntries", "log entry"},
      {"/verificationMaterial/tlogEntries/0/canonicalizedBody", "log promise"},
      {"/verificationMaterial/tlogEntries/0/inclusionPromise", "log promise"},
      {"/verificationMaterial/tlogEntries/0/inclusionProof", "inclusion proof"},
      {"/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint", "checkpoint"},
  };
  for (const auto& row : rows) {
    auto mixed = one;
    mixed[json::json_pointer(row.part)] = other[json::json_pointer(row.part)];
    auto result = verdict(mixed);
    INFO(row.part << ": " << result.reason);
    CHECK(result.step == row.step);
  }
  CHECK(verdict(other).step == "signature");
}

TEST_CASE("verify: another trusted root refuses everything, and says what may help", "[verify]") {
  auto bundle = verify::parse_bundle(authority().sign(kArtifact).dump(), "bundle");
  auto root = verify::parse_trusted_root(verify::embedded_trusted_root(), "embedded");
  REQUIRE(bundle);
  REQUIRE(root);
  auto refused = verify::verify_bundle(*bundle, hash_of(kArtifact), *root, verify::default_policy());
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().hint, contains("--trusted-root"));
}

TEST_CASE("verify: authorities and logs count only while they are valid", "[verify]") {
  auto bundle = authority().sign(kArtifact, with([](Signing& s) { s.timestamp = true; }));
  struct Row {
    const char* range;
    const char* step;
  };
  // Signed 2026-05-28T20:26:40Z.
  const std::vector<Row> rows = {{"/tlogs/0/publicKey/validFor", "log promise"},
                                 {"/certificateAuthorities/0/validFor", "certificate chain"},
                                 {"/ctlogs/0/publicKey/validFor", "certificate log"}};
  for (const auto& row : rows) {
    auto at = json::json_pointer(row.range);
    auto verdict_with = [&](const json& range) {
      auto root = authority().trusted_root();
      root[at] = range;
      return verdict_of(bundle.dump(), kArtifact, root.dump(), verify::default_policy()).step;
    };
    INFO(row.range);
    CHECK(verdict_with({{"start", "2026-05-28T20:26:40Z"}, {"end", "2026-05-28T20:26:40Z"}}) == "accepted");
    CHECK(verdict_with({{"start", "2026-05-28T20:26:40.001Z"}}) == row.step);
    CHECK(verdict_with({{"start", "2023-01-01T00:00:00Z"}, {"end", "2026-05-28T20:26:39.999Z"}}) == row.step);
    CHECK(verdict_with({{"end", "2030-01-01T00:00:00Z"}}) == "trusted root");
    CHECK(verdict_with(nullptr) == "trusted root");
  }
}

TEST_CASE("verify: an inclusion proof leads to the root of any tree", "[verify]") {
  auto leaf_of = [](std::uint64_t i) {
    auto text = std::to_string(i);
    return verify::leaf_hash(std::as_bytes(std::span(text)));
  };
  std::function<verify::Sha256(std::uint64_t, std::uint64_t)> root_of = [&](std::uint64_t begin,
                                                                            std::uint64_t end) {
    if (end - begin == 1) return leaf_of(begin);
    auto half = std::bit_floor(end - begin - 1);
    constexpr std::array kNode = {std::byte{1}};
    return verify::sha256(kNode, root_of(begin, begin + half), root_of(begin + half, end));
  };
  std::function<void(std::uint64_t, std::uint64_t, std::uint64_t, std::vector<verify::Sha256>&)> path_of =
      [&](std::uint64_t i, std::uint64_t begin, std::uint64_t end, std::vector<verify::Sha256>& out) {
        if (end - begin == 1) return;
        auto half = begin + std::bit_floor(end - begin - 1);
        path_of(i, i < half ? begin : half, i < half ? half : end, out);
        out.push_back(i < half ? root_of(half, end) : root_of(begin, half));
      };
  for (std::uint64_t size = 1; size <= 33; ++size)
    for (std::uint64_t i = 0; i < size; ++i) {
      verify::InclusionProof proof{.index = i, .tree_size = size, .root = {}, .hashes = {}, .checkpoint = {}};
      path_of(i, 0, size, proof.hashes);
      auto root = verify::root_of(leaf_of(i), proof);
      REQUIRE(root);
      CHECK(*root == root_of(0, size));
      proof.hashes.emplace_back();
      CHECK_FALSE(verify::root_of(leaf_of(i), proof));
    }
  // Sizes at the end of the range have as many hashes as they need, and no shift leaves its width.
  verify::InclusionProof large{
      .index = 0, .tree_size = (1ULL << 63) - 1, .root = {}, .hashes = {}, .checkpoint = {}};
  large.hashes.resize(63);
  CHECK(verify::root_of({}, large));
  large.tree_size = ~0ULL;
  CHECK_FALSE(verify::root_of({}, large));
  large.hashes.resize(64);
  CHECK(verify::root_of({}, large));
}

namespace {

/// Flips bits of a bundle's text and returns how many were accepted. Every `stride`-th byte has all eight
/// bits flipped, from a random place on.
std::size_t accepted_flips(const json& bundle, std::size_t stride) {
  auto root = verify::parse_trusted_root(authority().trusted_root().dump(), "root").value();
  auto file = hash_of(kArtifact);
  auto policy = verify::default_policy();
  auto text = bundle.dump();
  std::mt19937_64 random(seed());
  std::size_t accepted = 0;
  for (auto at = random() % stride; at < text.size(); at += stride)
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto flipped = text;
      flipped[at] = static_cast<char>(static_cast<unsigned char>(flipped[at]) ^ (1U << bit));
      auto parsed = verify::parse_bundle(flipped, "flipped");
      if (!parsed || !verify::verify_bundle(*parsed, file, root, policy)) continue;
      ++accepted;
      UNSCOPED_INFO("accepted: bit " << bit << " of byte " << at << " in "
                                     << text.substr(at < 30 ? 0 : at - 30, 60));
    }
  return accepted;
}

}  // namespace

TEST_CASE("verify: no bit of a valid bundle can be flipped", "[verify]") {
  CHECK(accepted_flips(authority().sign(kArtifact), 16) == 0);
}

// All of them: a minute or two. Run once for every change of the verifier.
TEST_CASE("verify: no bit of a valid bundle can be flipped, every bit", "[.every-bit]") {
  CHECK(accepted_flips(authority().sign(kArtifact), 1) == 0);
}
