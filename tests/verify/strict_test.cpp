// Forms that no signer writes.

#include <functional>

#include "log_entry_impl.h"
#include "protobuf_json_impl.h"
#include "support/catch.h"
#include "support/sigstore_authority.h"
#include "verify/cases.h"

using namespace kernels;
using namespace kernels::test;
using nlohmann::json;

namespace {

constexpr std::string_view kSignedText = "the metadata of a kernel";

const SigstoreAuthority& signer() {
  static const SigstoreAuthority value;
  return value;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

Verdict verdict_on(const std::string& bundle) {
  return verdict_of(bundle, kSignedText, signer().trusted_root().dump(), verify::default_policy());
}

const json::json_pointer kEntry("/verificationMaterial/tlogEntries/0");
const json::json_pointer kProof("/verificationMaterial/tlogEntries/0/inclusionProof");

}  // namespace

TEST_CASE("verify: a bundle that is written otherwise than a signer writes it is refused", "[verify]") {
  auto good = signer().sign(kSignedText).dump();
  REQUIRE(verdict_on(good).step == "accepted");
  struct Row {
    const char* what;
    const char* with;
  };
  const std::vector<Row> rows = {
      {R"("mediaType")", R"("media_type")"},
      {R"({"mediaType")", R"({"more":1,"mediaType")"},
      {R"({"mediaType")", R"({"mediaType":"x","mediaType")"},
      {R"("inclusionPromise":{)", R"("inclusionPromise":{"more":1,)"},
      {R"("treeSize":"7")", R"("treeSize":7)"},
      {R"("treeSize":"7")", R"("treeSize":"+7")"},
      {R"("treeSize":"7")", R"("treeSize":" 7")"},
      {R"("treeSize":"7")", R"("treeSize":"0_7")"},
      {R"("treeSize":"7")", R"("treeSize":"-7")"},
      {R"("treeSize":"7")", R"("treeSize":"9223372036854775808")"},
      {R"("treeSize":"7")", R"("treeSize":"3")"},
      {R"("algorithm":"SHA2_256")", R"("algorithm":"SHA2_512")"},
      {R"("algorithm":"SHA2_256")", R"("algorithm":1)"},
      {R"("rawBytes":")", R"("rawBytes":"\n)"},
      {R"("signature":")", R"("signature":"!)"},
      {R"("signature":")", R"("signature":"\ud800)"},
      {R"("version":"0.0.1")", R"("version":"0.0.3")"},
      {R"("messageSignature")", R"("dsseEnvelope":{},"messageSignature")"},
      {R"("certificate":{)", R"("publicKey":{"hint":"x"},"certificate":{)"},
      {R"("certificate":{)", R"("x509CertificateChain":{"certificates":[]},"certificate":{)"},
      {R"(bundle.v0.3+json)", R"(bundle+json;version=0.2)"},
      {R"(bundle.v0.3+json)", R"(bundle.v0.4+json)"},
  };
  for (const auto& row : rows) {
    auto result = verdict_on(replaced(good, row.what, row.with));
    INFO(row.with << ": " << result.step << ": " << result.reason);
    CHECK(result.step == "bundle");
  }
  CHECK(verdict_on(good + "x").step == "bundle");
  CHECK(verdict_on("\xef\xbb\xbf" + good).step == "bundle");
  CHECK(verdict_on(std::string(1U << 20U, ' ') + good).step == "bundle");
  CHECK(verdict_on("[" + good + "]").step == "bundle");
  CHECK(verdict_on("").step == "bundle");
  CHECK(verdict_on(" \n" + good + " \n").step == "accepted");
}

TEST_CASE("verify: what is missing from a bundle is named", "[verify]") {
  auto good = signer().sign(kSignedText);
  for (const char* part :
       {"/mediaType", "/verificationMaterial", "/messageSignature", "/messageSignature/signature",
        "/verificationMaterial/certificate", "/verificationMaterial/tlogEntries",
        "/verificationMaterial/tlogEntries/0/logId", "/verificationMaterial/tlogEntries/0/logIndex",
        "/verificationMaterial/tlogEntries/0/kindVersion",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/integratedTime",
        "/verificationMaterial/tlogEntries/0/inclusionProof",
        "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint",
        "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash"}) {
    json::json_pointer at(part);
    auto bundle = good;
    bundle[at.parent_pointer()].erase(at.back());
    auto result = verdict_on(bundle.dump());
    INFO(part << ": " << result.reason);
    CHECK(result.step == "bundle");
    bundle[at] = nullptr;
    CHECK(verdict_on(bundle.dump()).step == "bundle");
  }
  // What is optional may be absent or null.
  for (const char* part : {"/messageSignature/messageDigest"}) {
    auto bundle = good;
    bundle[json::json_pointer(part)] = nullptr;
    CHECK(verdict_on(bundle.dump()).step == "accepted");
  }
}

TEST_CASE("verify: one log entry, no more and no less", "[verify]") {
  auto bundle = signer().sign(kSignedText);
  auto& entries = bundle["verificationMaterial"]["tlogEntries"];
  entries.push_back(entries[0]);
  CHECK(verdict_on(bundle.dump()).step == "bundle");
  entries = json::array();
  CHECK(verdict_on(bundle.dump()).step == "bundle");
}

TEST_CASE("verify: timestamps are bounded, readable and different", "[verify]") {
  auto signing = kernels_community();
  signing.timestamp = true;
  auto good = signer().sign(kSignedText, signing);
  auto& list = good["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
  auto one = list[0];
  auto with = [&](const json& timestamps) {
    list = timestamps;
    return verdict_on(good.dump()).step;
  };
  auto garbage = json{{"signedTimestamp", "AAAA"}};
  CHECK(with(json::array({one})) == "accepted");
  CHECK(with(json::array({one, one})) == "bundle");
  CHECK(with(json::array({one, garbage})) == "timestamp");
  CHECK(with(json::array()) == "accepted");
  auto many = json::array();
  for (int i = 0; i < 33; ++i)
    many.push_back({{"signedTimestamp", "AAA" + std::string(1, static_cast<char>('A' + i % 26)) + "AAAA"}});
  CHECK(with(many) == "bundle");
  // Of another bundle: passed over, since the log's promise fixes the time. On Rekor v2 nothing else does.
  auto other = signer().sign("other", signing)["verificationMaterial"]["timestampVerificationData"];
  CHECK(with(other["rfc3161Timestamps"]) == "accepted");
  signing.rekor_v2 = true;
  auto second = signer().sign(kSignedText, signing);
  second["verificationMaterial"]["timestampVerificationData"] = other;
  CHECK(verdict_on(second.dump()).step == "timestamp");
}

TEST_CASE("verify: timestamps without a timestamp signer are refused", "[verify]") {
  auto signing = kernels_community();
  signing.timestamp = true;
  auto root = signer().trusted_root();
  root["timestampAuthorities"] = json::array();
  auto result = verdict_of(signer().sign(kSignedText, signing).dump(), kSignedText, root.dump(),
                           verify::default_policy());
  CHECK(result.step == "timestamp");
}

TEST_CASE("verify: a promise on an entry of Rekor v2 is refused", "[verify]") {
  auto signing = kernels_community();
  signing.rekor_v2 = true;
  auto bundle = signer().sign(kSignedText, signing);
  bundle[kEntry]["inclusionPromise"] = {{"signedEntryTimestamp", "AAAA"}};
  CHECK(verdict_on(bundle.dump()).step == "bundle");
  bundle[kEntry]["integratedTime"] = "1780000000";
  CHECK(verdict_on(bundle.dump()).step == "log promise");
}

TEST_CASE("verify: a checkpoint is a signed note in every byte", "[verify]") {
  auto good = signer().sign(kSignedText);
  std::string note = good[kProof]["checkpoint"]["envelope"];
  const std::string dash = "\xe2\x80\x94 ";
  auto with = [&](const std::string& envelope) {
    auto bundle = good;
    bundle[kProof]["checkpoint"]["envelope"] = envelope;
    return verdict_on(bundle.dump()).step;
  };
  auto line = note.substr(note.find(dash));
  REQUIRE(with(note) == "accepted");
  CHECK(with(note + dash + "witness.test AAAAAAAAAAAA\n") == "accepted");
  CHECK(with(note + "junk\n") == "checkpoint");
  CHECK(with(note + dash + "witness.test AAA\n") == "checkpoint");
  CHECK(with(note.substr(0, note.size() - 1)) == "checkpoint");
  CHECK(with(note + "\n\n") == "checkpoint");
  CHECK(with(replaced(note, dash + "rekor.test", dash + "rekor.evil")) == "checkpoint");
  CHECK(with(replaced(note, "rekor.test - 1234", "rekor.test - 1235")) == "checkpoint");
  CHECK(with(replaced(note, "\n7\n", "\n07\n")) == "checkpoint");
  CHECK(with(note.substr(0, note.find(dash))) == "checkpoint");
  std::string many = note;
  for (int i = 0; i < 64; ++i)
    many += dash + "witness.test AAAAAAAAAAAA\n";
  CHECK(with(many) == "checkpoint");
  // A second line with the log's hint that does not verify.
  auto forged = line;
  forged[line.size() - 10] = forged[line.size() - 10] == 'A' ? 'B' : 'A';
  CHECK(with(note + forged) == "checkpoint");
}

TEST_CASE("verify: a chain serves bundles before version 0.3, and may not hold its root", "[verify]") {
  auto bundle = signer().sign(kSignedText);
  auto root = signer().trusted_root();
  auto& material = bundle["verificationMaterial"];
  auto leaf = material["certificate"];
  auto certificates = root["certificateAuthorities"][0]["certChain"]["certificates"];
  material.erase("certificate");
  auto& chain = material["x509CertificateChain"]["certificates"];
  for (const char* version : {"0.1", "0.2"}) {
    bundle["mediaType"] = std::string("application/vnd.dev.sigstore.bundle+json;version=") + version;
    chain = json::array({leaf, certificates[0]});
    CHECK(verdict_on(bundle.dump()).step == "accepted");
    chain.push_back(certificates[1]);
    CHECK(verdict_on(bundle.dump()).step == "bundle");
    chain = json::array();
    CHECK(verdict_on(bundle.dump()).step == "bundle");
    chain = json::array({certificates[0], leaf});
    CHECK(verdict_on(bundle.dump()).step != "accepted");
  }
}

TEST_CASE("verify: a trusted root that is wrong is refused as a whole", "[verify]") {
  auto good = signer().trusted_root();
  auto refused = [&](const char* at, const json& value) {
    auto root = good;
    if (value == "erase")
      root[json::json_pointer(at).parent_pointer()].erase(json::json_pointer(at).back());
    else
      root[json::json_pointer(at)] = value;
    return !verify::parse_trusted_root(root.dump(), "root").has_value();
  };
  CHECK_FALSE(refused("/mediaType", "application/vnd.dev.sigstore.trustedroot.v0.2+json"));
  CHECK(refused("/mediaType", "application/vnd.dev.sigstore.trustedroot.v0.3+json"));
  CHECK(refused("/mediaType", "erase"));
  CHECK(refused("/more", 1));
  CHECK(refused("/tlogs/0/logId/keyId", good["tlogs"][1]["logId"]["keyId"]));
  CHECK(refused("/tlogs/0/publicKey/rawBytes", good["tlogs"][1]["publicKey"]["rawBytes"]));
  CHECK(refused("/tlogs/0/publicKey/validFor/start", "erase"));
  CHECK(refused("/tlogs/0/publicKey/validFor/start", "2023-13-01T00:00:00Z"));
  CHECK(refused("/tlogs/0/publicKey/validFor/start", "2023-01-01 00:00:00Z"));
  CHECK(refused("/certificateAuthorities/0/certChain/certificates", json::array()));
  CHECK(refused("/certificateAuthorities/0/certChain/certificates/0/rawBytes", "AAAA"));
  CHECK(refused("/certificateAuthorities/0/validFor", "erase"));
  // A key of a kind that is not known is left out; nothing that it signs is accepted.
  auto root = good;
  root["tlogs"][0]["publicKey"]["keyDetails"] = "PKCS1_RSA_PKCS1V5";
  auto parsed = verify::parse_trusted_root(root.dump(), "root");
  REQUIRE(parsed);
  CHECK(parsed->logs.size() == 1);
}

TEST_CASE("verify: times are read to the millisecond, and nothing else is a time", "[verify]") {
  CHECK(verify::parse_time("1970-01-01T00:00:00Z") == 0);
  CHECK(verify::parse_time("2022-12-31T23:59:59.999Z") == 1672531199999);
  CHECK(verify::parse_time("2022-12-31T23:59:59.9Z") == 1672531199900);
  CHECK(verify::parse_time("2024-02-29T12:00:00.123456789Z") == 1709208000123);
  for (const char* bad :
       {"", "Z", "2022-12-31T23:59:59", "2022-12-31T23:59:59+00:00", "2022-02-30T00:00:00Z",
        "2022-12-31T24:00:00Z", "2022-12-31T23:60:00Z", "2022-12-31T23:59:59.Z", "2022-12-31T23:59:59,9Z",
        "2022-12-31t23:59:59Z", "-022-12-31T23:59:59Z", "2022-12-31T23:59:59.1234567890Z"}) {
    INFO(bad);
    CHECK_FALSE(verify::parse_time(bad));
  }
}

TEST_CASE("verify: a signer is a workflow at a ref, in its own repository", "[verify]") {
  auto good =
      verify::parse_workflow_signer("https://github.com/acme/k.x/.github/workflows/b.yaml@refs/tags/v1/x");
  REQUIRE(good);
  CHECK(good->source_repository == "https://github.com/acme/k.x");
  for (const char* bad : {"", "acme/kernels", "https://github.com/acme/kernels",
                          "http://github.com/a/b/.github/workflows/c.yaml@refs/heads/main",
                          "https://github.com.evil/a/b/.github/workflows/c.yaml@refs/heads/main",
                          "https://github.com/a/.github/workflows/c.yaml@refs/heads/main",
                          "https://github.com/a/b/c/.github/workflows/c.yaml@refs/heads/main",
                          "https://github.com/a/b/.github/workflows/@refs/heads/main",
                          "https://github.com/a/b/.github/workflows/c.yaml@main",
                          "https://github.com/a/b/.github/workflows/c.yaml"}) {
    INFO(bad);
    CHECK_FALSE(verify::parse_workflow_signer(bad));
  }
}
