#include <map>

#include "kernels/base/hash.h"

#include "certificate_impl.h"
#include "log_entry_impl.h"
#include "support/catch.h"
#include "verify/cases.h"

using namespace kernels;
using namespace kernels::test;

namespace {

/// The step that must refuse each case that metadata of kernels may not pass.
const std::map<std::string, std::string> kRefusedBy = {
    {"bundle-from-wrong-instance_fail", "log promise"},
    {"bundle-malformed-json_fail", "bundle"},
    {"bundle-unknown-version_fail", "bundle"},
    {"checkpoint-bad-keyhint_fail", "checkpoint"},
    {"dsse-invalid-sig_fail", "bundle"},
    {"dsse-mismatch-sig_fail", "bundle"},
    {"happy-path-intoto-in-dsse-v3", "bundle"},
    // The logged body holds the key; its change is first seen by the promise over that body.
    {"incorrect-public-key_fail", "log promise"},
    {"intoto-expired-certificate_fail", "bundle"},
    {"intoto-missing-inclusion-proof_fail", "bundle"},
    {"intoto-tsa-timestamp-outside-cert-validity_fail", "bundle"},
    {"intoto-with-custom-trust-root", "bundle"},
    {"invalid-ct-key_fail", "certificate log"},
    {"managed-key-and-trusted-root", "bundle"},
    {"managed-key-happy-path", "bundle"},
    {"managed-key-no-key_fail", "bundle"},
    {"message-digest-mismatch_fail", "signature"},
    {"rekor2-checkpoint-missing-origin_fail", "checkpoint"},
    {"rekor2-checkpoint-missing-size_fail", "checkpoint"},
    {"rekor2-dsse-happy-path", "bundle"},
    {"rekor2-dsse-invalid-sig_fail", "bundle"},
    {"rekor2-dsse-mismatch-sig_fail", "bundle"},
    {"rekor2-no-timestamp_fail", "timestamp"},
    {"rekor2-timestamp-outside-tsa-cert-validity_fail", "timestamp"},
    {"rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", "timestamp"},
    // Its base64 has line breaks, which no signer writes; below it is read without them.
    {"rekor2-timestamp-with-incorrect-time_fail", "bundle"},
    {"signature-mismatch_fail", "signature"},
    {"wrong-hashedrekord-artifact_fail", "log entry"},
    {"wrong-hashedrekord-entry_fail", "log entry"},
};

Verdict verdict_of_case(const ConformanceCase& one, const std::string& bundle) {
  return verdict_of(bundle, read_file(one.artifact), read_file(one.root),
                    {verify::NamedSigner{.issuer = one.issuer, .name = one.identity}});
}

const verify::WorkflowSigner kWheelSigner{
    .source_repository = "https://github.com/trailofbits/rfc8785.py",
    .workflows = {
        "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"}};

}  // namespace

TEST_CASE("verify: every conformance case has its verdict, and the step that must refuse it", "[verify]") {
  std::size_t refused = 0;
  auto cases = conformance_cases();
  REQUIRE(cases.size() == 45);
  for (const auto& one : cases) {
    auto verdict = verdict_of_case(one, one.bundle());
    INFO(one.name << ": " << verdict.step << ": " << verdict.reason);
    auto expected = kRefusedBy.find(one.name);
    CHECK(one.accepted == (expected == kRefusedBy.end()));
    CHECK(verdict.step == (expected == kRefusedBy.end() ? "accepted" : expected->second));
    refused += one.accepted ? 0 : 1;
  }
  CHECK(refused == kRefusedBy.size());
}

TEST_CASE("verify: a timestamp outside the signer's validity is refused by the certificate chain",
          "[verify]") {
  for (const auto& one : conformance_cases()) {
    if (one.name != "rekor2-timestamp-with-incorrect-time_fail") continue;
    auto bundle = one.bundle();
    for (auto at = bundle.find("\\n"); at != std::string::npos; at = bundle.find("\\n", at)) {
      // The checkpoint's line breaks are part of a text, those of the timestamp's base64 are not.
      bool is_text = at > bundle.find("\"envelope\"") && at < bundle.find('}', bundle.find("\"envelope\""));
      if (is_text)
        at += 2;
      else
        bundle.erase(at, 2);
    }
    auto verdict = verdict_of_case(one, bundle);
    INFO(verdict.reason);
    CHECK(verdict.step == "certificate chain");
  }
}

TEST_CASE("verify: production bundles have their verdict", "[verify]") {
  auto folder = kSigstoreData / "production";
  auto root = std::string(verify::embedded_trusted_root());
  auto wheel = read_file(folder / "bundle_v3_github.whl");
  auto bundle = read_file(folder / "bundle_v3_github.whl.sigstore");
  auto other = verdict_of(bundle, wheel, root, verify::default_policy());
  CHECK(other.step == "identity");
  CHECK_THAT(other.reason, contains("trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"));
  CHECK(verdict_of(bundle, wheel, root, {kWheelSigner}).step == "accepted");
  CHECK(verdict_of(bundle, wheel + "x", root, {kWheelSigner}).step == "signature");
  auto python = verdict_of(read_file(folder / "Python-3.12.5.tgz.sigstore"), "", root, {kWheelSigner});
  CHECK(python.step == "bundle");
  CHECK_THAT(python.reason, contains("`checkpoint`"));
}

TEST_CASE("verify: what is signed is built byte by byte as two other implementations build it", "[verify]") {
  auto bundle = verify::parse_bundle(
      read_file(kSigstoreData / "conformance/happy-path-v0.3-new-mediaType/bundle.sigstore.json"), "bundle");
  auto root = verify::parse_trusted_root(verify::embedded_trusted_root(), "embedded");
  REQUIRE(bundle);
  REQUIRE(root);
  auto hash = [](const auto& bytes) { return to_hex(verify::sha256(std::as_bytes(std::span(bytes)))); };
  CHECK(hash(bundle->certificate) == "1d14e1e52767b3ddff7895038b50e680a06f6bc61a50634f51612dba9d5f27b8");
  CHECK(bundle->entry.integrated_time == 1710869186U);
  auto certificate = verify::parse_certificate(bundle->certificate);
  REQUIRE(certificate);
  auto issuer = verify::find_issuer(certificate->get(), *root, 1710869186'000);
  REQUIRE(issuer);
  auto timestamp = verify::read_certificate_timestamp(certificate->get());
  REQUIRE(timestamp);
  CHECK(timestamp->time == 1710869186470U);
  auto text = verify::certificate_log_text(certificate->get(), issuer->get(), *timestamp);
  REQUIRE(text);
  CHECK(text->size() == 1887);
  CHECK(hash(*text) == "375a7aa5238c9a9260ae4765240c256ffa7da18b259688f6b4d2666aca4f28f0");
  auto promise = verify::promise_text(bundle->entry);
  CHECK(promise.size() == 5722);
  CHECK(hash(promise) == "a77a67b05ef48abed4f89d052a01940e1fda0144fe6f845d353e809d19d8d35c");
  auto leaf = verify::leaf_hash(bundle->entry.body);
  CHECK(to_hex(leaf) == "aee3c920bb1132e929ed20e1c194579a60e95849f7a554e0033fdd26ee221629");
  auto tree = verify::root_of(leaf, bundle->entry.proof);
  REQUIRE(tree);
  CHECK(to_hex(*tree) == "1679e3d7752ed63764b0f7381d92daa4a5f7dbd755943e7e30636c8aa06ad573");
  auto checkpoint = verify::parse_checkpoint(bundle->entry.proof.checkpoint);
  REQUIRE(checkpoint);
  CHECK(to_hex(checkpoint->lines.at(0).hint) == "c0d23d6a");
}

TEST_CASE("verify: the embedded trusted root is the one whose hash is stated", "[verify]") {
  CHECK(sha256_hex(verify::embedded_trusted_root()) == verify::kEmbeddedRootSha256);
  auto root = verify::parse_trusted_root(verify::embedded_trusted_root(), "embedded");
  REQUIRE(root);
  CHECK(root->is_embedded);
  CHECK(root->logs.size() == 2);
  CHECK(root->certificate_logs.size() == 2);
  CHECK(root->certificate_authorities.size() == 2);
  CHECK(root->timestamp_authorities.size() == 1);
}
