#include "support/sigstore_authority.h"

#include <array>
#include <span>
#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>

#include "kernels/base/hash.h"

namespace kernels::test {

namespace {

using nlohmann::json;
using Text = std::string;  // of bytes

void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

struct Free {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(ASN1_OBJECT* p) const { ASN1_OBJECT_free(p); }
  void operator()(ASN1_OCTET_STRING* p) const { ASN1_OCTET_STRING_free(p); }
  void operator()(TS_REQ* p) const { TS_REQ_free(p); }
  void operator()(TS_RESP* p) const { TS_RESP_free(p); }
  void operator()(TS_RESP_CTX* p) const { TS_RESP_CTX_free(p); }
  void operator()(TS_MSG_IMPRINT* p) const { TS_MSG_IMPRINT_free(p); }
  void operator()(X509_ALGOR* p) const { X509_ALGOR_free(p); }
  void operator()(BIO* p) const { BIO_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
using Key = Owned<EVP_PKEY>;
using Certificate = Owned<X509>;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}
Text base64(std::string_view text) {
  return to_base64(bytes(text));
}
Text sha256(std::string_view text) {
  Hasher hasher(HashAlgorithm::sha256);
  hasher.update(text);
  auto raw = hasher.finish();
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}
Text number(std::uint64_t value, int size) {
  Text out;
  for (int i = size - 1; i >= 0; --i)
    out += static_cast<char>(value >> (8U * static_cast<unsigned>(i)));
  return out;
}

/// Calls one of OpenSSL's i2d functions.
template <class Function, class Object>
Text der(Function function, Object* object) {
  unsigned char* data = nullptr;
  int size = function(object, &data);
  must(size > 0, "i2d");
  Text out(reinterpret_cast<char*>(data), static_cast<std::size_t>(size));
  OPENSSL_free(data);
  return out;
}

Key new_key(const char* curve) {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
  must(key != nullptr, "EC key");
  return key;
}
Key new_ed25519() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  must(key != nullptr, "Ed25519 key");
  return key;
}
Text public_key(EVP_PKEY* key) {
  return der(i2d_PUBKEY, key);
}

Text sign_text(EVP_PKEY* key, std::string_view text, const char* hash = "SHA256") {
  Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  if (EVP_PKEY_is_a(key, "ED25519") == 1) hash = nullptr;
  must(EVP_DigestSignInit_ex(context.get(), nullptr, hash, nullptr, nullptr, key, nullptr) == 1, "sign");
  std::size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  must(EVP_DigestSign(context.get(), nullptr, &size, data, text.size()) == 1, "sign");
  Text out(size, '\0');
  must(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, data,
                      text.size()) == 1,
       "sign");
  out.resize(size);
  return out;
}

struct Issuer {
  X509* certificate;
  EVP_PKEY* key;
};

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

void add_raw_extension(X509* certificate, const std::string& oid, const Text& value, bool critical = false) {
  Owned<ASN1_OBJECT> object(OBJ_txt2obj(oid.c_str(), 1));
  Owned<ASN1_OCTET_STRING> data(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(data.get(), reinterpret_cast<const unsigned char*>(value.data()),
                        static_cast<int>(value.size()));
  Owned<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), critical ? 1 : 0, data.get()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, oid.c_str());
}

/// A certificate without extensions and signature.
Certificate blank(EVP_PKEY* key, const char* name, X509* issuer, std::int64_t begin, std::int64_t end) {
  Certificate out(X509_new());
  X509_set_version(out.get(), X509_VERSION_3);
  std::array<unsigned char, 16> serial{};
  RAND_bytes(serial.data(), serial.size());
  serial[0] &= 0x7fU;
  std::unique_ptr<BIGNUM, decltype(&BN_free)> value(BN_bin2bn(serial.data(), serial.size(), nullptr),
                                                    &BN_free);
  BN_to_ASN1_INTEGER(value.get(), X509_get_serialNumber(out.get()));
  ASN1_TIME_set(X509_getm_notBefore(out.get()), begin);
  ASN1_TIME_set(X509_getm_notAfter(out.get()), end);
  if (name != nullptr)
    X509_NAME_add_entry_by_txt(X509_get_subject_name(out.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(out.get(), X509_get_subject_name(issuer == nullptr ? out.get() : issuer));
  X509_set_pubkey(out.get(), key);
  return out;
}

constexpr std::int64_t kBegin = 1'700'000'000;
constexpr std::int64_t kEnd = 2'000'000'000;

Certificate new_authority(EVP_PKEY* key, const char* name, const Issuer* issuer) {
  auto out = blank(key, name, issuer == nullptr ? nullptr : issuer->certificate, kBegin, kEnd);
  auto* parent = issuer == nullptr ? out.get() : issuer->certificate;
  add_extension(out.get(), parent, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(out.get(), parent, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(out.get(), parent, NID_subject_key_identifier, "hash");
  if (issuer != nullptr) add_extension(out.get(), parent, NID_authority_key_identifier, "keyid:always");
  must(X509_sign(out.get(), issuer == nullptr ? key : issuer->key, EVP_sha256()) > 0, "sign certificate");
  return out;
}

Text utf8_string(const std::string& text) {
  Text out = "\x0c";
  if (text.size() < 0x80)
    out += static_cast<char>(text.size());
  else if (text.size() < 0x100)
    out += "\x81" + number(text.size(), 1);
  else
    out += "\x82" + number(text.size(), 2);
  return out + text;
}

Text node(const Text& left, const Text& right) {
  return sha256("\x01" + left + right);
}

/// Root of the tree over some leaves, and the path of one of them, by RFC 6962's own recursion.
Text tree_root(const std::vector<Text>& leaves, std::size_t begin, std::size_t end) {
  if (end - begin == 1) return leaves[begin];
  std::size_t half = 1;
  while (half * 2 < end - begin)
    half *= 2;
  return node(tree_root(leaves, begin, begin + half), tree_root(leaves, begin + half, end));
}
std::vector<Text> tree_path(const std::vector<Text>& leaves, std::size_t index, std::size_t begin,
                            std::size_t end) {
  if (end - begin == 1) return {};
  std::size_t half = 1;
  while (half * 2 < end - begin)
    half *= 2;
  bool is_left = index < begin + half;
  auto path =
      is_left ? tree_path(leaves, index, begin, begin + half) : tree_path(leaves, index, begin + half, end);
  path.push_back(is_left ? tree_root(leaves, begin + half, end) : tree_root(leaves, begin, begin + half));
  return path;
}

ASN1_INTEGER* next_serial(TS_RESP_CTX*, void*) {
  auto* out = ASN1_INTEGER_new();
  ASN1_INTEGER_set(out, 7);
  return out;
}
int stated_time(TS_RESP_CTX*, void* data, long* seconds, long* microseconds) {
  *seconds = static_cast<long>(*static_cast<std::int64_t*>(data));
  *microseconds = 0;
  return 1;
}

constexpr const char* kLog1 = "rekor.test";
constexpr const char* kLog2 = "log2.rekor.test";
constexpr const char* kPemBegin = "-----BEGIN CERTIFICATE-----\n";

Text pem(const Text& certificate) {
  auto text = base64(certificate);
  Text out = kPemBegin;
  for (std::size_t at = 0; at < text.size(); at += 64)
    out += text.substr(at, 64) + "\n";
  return out + "-----END CERTIFICATE-----\n";
}

}  // namespace

struct SigstoreAuthority::Keys {
  Key root_key = new_key("P-384");
  Key intermediate_key = new_key("P-256");
  Key certificate_log = new_key("P-256");
  Key foreign_log = new_key("P-256");
  Key log1 = new_key("P-256");
  Key log2 = new_ed25519();
  Key clock_root_key = new_key("P-384");
  Key clock_key = new_key("P-256");
  Certificate root = new_authority(root_key.get(), "Root", nullptr);
  Issuer root_issuer{root.get(), root_key.get()};
  Certificate intermediate = new_authority(intermediate_key.get(), "Intermediate", &root_issuer);
  Certificate clock_root = new_authority(clock_root_key.get(), "Clock root", nullptr);
  Certificate clock;

  Keys() {
    clock = blank(clock_key.get(), "Clock", clock_root.get(), kBegin, kEnd);
    add_extension(clock.get(), clock_root.get(), NID_key_usage, "critical,digitalSignature");
    add_extension(clock.get(), clock_root.get(), NID_ext_key_usage, "critical,timeStamping");
    add_extension(clock.get(), clock_root.get(), NID_subject_key_identifier, "hash");
    add_extension(clock.get(), clock_root.get(), NID_authority_key_identifier, "keyid:always");
    must(X509_sign(clock.get(), clock_root_key.get(), EVP_sha256()) > 0, "sign clock");
  }

  Text id1() const { return sha256(public_key(log1.get())); }
  Text id2() const {
    auto key = public_key(log2.get());
    return sha256(Text(kLog2) + "\n\x01" + key.substr(key.size() - 32));
  }

  Certificate leaf(EVP_PKEY* key, const Signing& signing) const;
  void add_certificate_timestamps(X509* leaf, const Signing& signing) const;
  Text timestamp(const Text& signature, std::int64_t time) const;
  json entry(const Text& body, const Signing& signing) const;
};

Certificate SigstoreAuthority::Keys::leaf(EVP_PKEY* key, const Signing& signing) const {
  // An authority needs a name of its own; Fulcio's certificates have none.
  const char* name = signing.basic_constraints.empty() ? nullptr : "Authority";
  auto out = blank(key, name, intermediate.get(), signing.time, signing.time + signing.valid_seconds);
  auto* parent = intermediate.get();
  if (!signing.key_usage.empty()) add_extension(out.get(), parent, NID_key_usage, signing.key_usage);
  if (!signing.extended_key_usage.empty())
    add_extension(out.get(), parent, NID_ext_key_usage, signing.extended_key_usage);
  if (!signing.basic_constraints.empty())
    add_extension(out.get(), parent, NID_basic_constraints, signing.basic_constraints);
  add_extension(out.get(), parent, NID_subject_key_identifier, "hash");
  add_extension(out.get(), parent, NID_authority_key_identifier, "keyid:always");
  add_extension(out.get(), parent, NID_subject_alt_name, "critical,URI:" + signing.name);
  for (const auto& [number, value] : signing.identity)
    add_raw_extension(out.get(), "1.3.6.1.4.1.57264.1." + std::to_string(number),
                      number <= 6 ? value : utf8_string(value));
  if (signing.unknown_critical_extension) add_raw_extension(out.get(), "1.3.6.1.4.1.99999.1", "\x05", true);
  add_certificate_timestamps(out.get(), signing);
  must(X509_sign(out.get(), intermediate_key.get(), EVP_sha256()) > 0, "sign leaf");
  return out;
}

void SigstoreAuthority::Keys::add_certificate_timestamps(X509* leaf, const Signing& signing) const {
  if (signing.certificate_timestamps == 0) return;
  // Signing fills the algorithm in, which is part of what the log signs.
  must(X509_sign(leaf, intermediate_key.get(), EVP_sha256()) > 0, "sign precertificate");
  auto tbs = der(i2d_re_X509_tbs, leaf);
  auto time = static_cast<std::uint64_t>(signing.time) * 1000;
  auto issuer_key = sha256(der(i2d_X509_PUBKEY, X509_get_X509_PUBKEY(intermediate.get())));
  auto text =
      number(0, 2) + number(time, 8) + number(1, 2) + issuer_key + number(tbs.size(), 3) + tbs + number(0, 2);
  auto* signer = signing.foreign_certificate_log ? foreign_log.get() : certificate_log.get();
  auto signature = sign_text(signer, text);
  auto one = number(0, 1) + sha256(public_key(signer)) + number(time, 8) + number(0, 2) + "\x04\x03" +
             number(signature.size(), 2) + signature;
  Text list;
  for (int i = 0; i < signing.certificate_timestamps; ++i)
    list += number(one.size(), 2) + one;
  list = number(list.size(), 2) + list;
  auto wrapped = "\x04\x81" + number(list.size(), 1) + list;
  if (list.size() < 0x80) wrapped = "\x04" + number(list.size(), 1) + list;
  if (list.size() > 0xff) wrapped = "\x04\x82" + number(list.size(), 2) + list;
  add_raw_extension(leaf, "1.3.6.1.4.1.11129.2.4.2", wrapped);
}

Text SigstoreAuthority::Keys::timestamp(const Text& signature, std::int64_t time) const {
  Owned<TS_REQ> request(TS_REQ_new());
  Owned<TS_MSG_IMPRINT> imprint(TS_MSG_IMPRINT_new());
  Owned<X509_ALGOR> algorithm(X509_ALGOR_new());
  X509_ALGOR_set_md(algorithm.get(), EVP_sha256());
  auto hash = sha256(signature);
  TS_REQ_set_version(request.get(), 1);
  TS_MSG_IMPRINT_set_algo(imprint.get(), algorithm.get());
  TS_MSG_IMPRINT_set_msg(imprint.get(), reinterpret_cast<unsigned char*>(hash.data()),
                         static_cast<int>(hash.size()));
  TS_REQ_set_msg_imprint(request.get(), imprint.get());
  auto asked = der(i2d_TS_REQ, request.get());
  Owned<BIO> in(BIO_new_mem_buf(asked.data(), static_cast<int>(asked.size())));
  Owned<TS_RESP_CTX> context(TS_RESP_CTX_new());
  Owned<ASN1_OBJECT> policy(OBJ_txt2obj("1.3.6.1.4.1.57264.2", 1));
  TS_RESP_CTX_set_signer_cert(context.get(), clock.get());
  TS_RESP_CTX_set_signer_key(context.get(), clock_key.get());
  TS_RESP_CTX_set_signer_digest(context.get(), EVP_sha256());
  TS_RESP_CTX_set_ess_cert_id_digest(context.get(), EVP_sha256());
  TS_RESP_CTX_set_def_policy(context.get(), policy.get());
  TS_RESP_CTX_add_md(context.get(), EVP_sha256());
  TS_RESP_CTX_set_serial_cb(context.get(), next_serial, nullptr);
  TS_RESP_CTX_set_time_cb(context.get(), stated_time, &time);
  Owned<TS_RESP> response(TS_RESP_create_response(context.get(), in.get()));
  must(response != nullptr, "timestamp");
  return der(i2d_TS_RESP, response.get());
}

json SigstoreAuthority::Keys::entry(const Text& body, const Signing& signing) const {
  std::vector<Text> leaves;
  for (std::uint64_t i = 0; i < signing.tree_size; ++i)
    leaves.push_back(sha256(Text(1, '\0') + (i == signing.tree_index ? body : "entry " + std::to_string(i))));
  auto root = tree_root(leaves, 0, leaves.size());
  auto hashes = json::array();
  for (const auto& hash : tree_path(leaves, signing.tree_index, 0, leaves.size()))
    hashes.push_back(base64(hash));
  const Text host = signing.rekor_v2 ? kLog2 : kLog1;
  auto id = signing.rekor_v2 ? id2() : id1();
  auto* key = signing.rekor_v2 ? log2.get() : log1.get();
  auto note = host + (signing.rekor_v2 ? "\n" : " - 1234\n") + std::to_string(signing.tree_size) + "\n" +
              base64(root) + "\n";
  auto envelope =
      note + "\n\xe2\x80\x94 " + host + " " + base64(id.substr(0, 4) + sign_text(key, note)) + "\n";
  // The number over all trees of Rekor v1 is another than that in the tree.
  auto index = signing.tree_index + (signing.rekor_v2 ? 0 : 1000);
  json out = {{"logIndex", std::to_string(index)},
              {"logId", {{"keyId", base64(id)}}},
              {"kindVersion", {{"kind", "hashedrekord"}, {"version", signing.rekor_v2 ? "0.0.2" : "0.0.1"}}},
              {"canonicalizedBody", base64(body)},
              {"inclusionProof",
               {{"logIndex", std::to_string(signing.tree_index)},
                {"treeSize", std::to_string(signing.tree_size)},
                {"rootHash", base64(root)},
                {"hashes", hashes},
                {"checkpoint", {{"envelope", envelope}}}}}};
  if (signing.rekor_v2 || !signing.promise) return out;
  auto promise = json{
      {"body", base64(body)},
      {"integratedTime", signing.time},
      {"logID", to_hex(bytes(id))},
      {"logIndex",
       index}}.dump();
  out["integratedTime"] = std::to_string(signing.time);
  out["inclusionPromise"] = {{"signedEntryTimestamp", base64(sign_text(log1.get(), promise))}};
  return out;
}

Signing run_of(const std::string& workflow) {
  const std::string issuer = "https://token.actions.githubusercontent.com";
  auto repository = workflow.substr(0, workflow.find("/.github/"));
  Signing out;
  out.name = workflow;
  out.identity = {{1, issuer},
                  {2, "push"},
                  {3, std::string(40, 'a')},
                  {5, repository.substr(std::string("https://github.com/").size())},
                  {6, "refs/heads/main"},
                  {8, issuer},
                  {9, workflow},
                  {12, repository},
                  {13, std::string(40, 'a')},
                  {14, "refs/heads/main"},
                  {21, repository + "/actions/runs/1/attempts/1"}};
  return out;
}

Signing kernels_community() {
  return run_of(
      "https://github.com/huggingface/kernels-community/.github/workflows/build.yaml@refs/heads/main");
}

SigstoreAuthority::SigstoreAuthority() : keys_(std::make_unique<Keys>()) {}
SigstoreAuthority::~SigstoreAuthority() = default;

json SigstoreAuthority::trusted_root() const {
  json validity = {{"start", "2023-11-15T00:00:00Z"}};
  auto log = [&](const Text& host, EVP_PKEY* key, const char* kind, const Text& id) {
    return json{
        {"baseUrl", "https://" + host},
        {"hashAlgorithm", "SHA2_256"},
        {"publicKey", {{"rawBytes", base64(public_key(key))}, {"keyDetails", kind}, {"validFor", validity}}},
        {"logId", {{"keyId", base64(id)}}}};
  };
  auto chain = [&](const std::vector<X509*>& certificates) {
    auto list = json::array();
    for (auto* certificate : certificates)
      list.push_back({{"rawBytes", base64(der(i2d_X509, certificate))}});
    return json{{"subject", {{"organization", "test"}, {"commonName", "test"}}},
                {"uri", "https://authority.test"},
                {"certChain", {{"certificates", list}}},
                {"validFor", validity}};
  };
  auto certificate_log = public_key(keys_->certificate_log.get());
  return {{"mediaType", "application/vnd.dev.sigstore.trustedroot+json;version=0.1"},
          {"tlogs",
           {log(kLog1, keys_->log1.get(), "PKIX_ECDSA_P256_SHA_256", keys_->id1()),
            log(kLog2, keys_->log2.get(), "PKIX_ED25519", keys_->id2())}},
          {"certificateAuthorities", json::array({chain({keys_->intermediate.get(), keys_->root.get()})})},
          {"ctlogs", json::array({log("ct.test", keys_->certificate_log.get(), "PKIX_ECDSA_P256_SHA_256",
                                      sha256(certificate_log))})},
          {"timestampAuthorities", json::array({chain({keys_->clock.get(), keys_->clock_root.get()})})}};
}

json SigstoreAuthority::sign(std::string_view artifact, const Signing& signing) const {
  auto key = new_key(signing.curve.c_str());
  auto certificate = der(i2d_X509, keys_->leaf(key.get(), signing).get());
  auto signature = sign_text(key.get(), artifact);
  auto digest = sha256(artifact);
  auto logged = signing.logged_artifact.empty() ? digest : sha256(signing.logged_artifact);
  json spec = {{"data", {{"hash", {{"algorithm", "sha256"}, {"value", to_hex(bytes(logged))}}}}},
               {"signature",
                {{"content", base64(signature)}, {"publicKey", {{"content", base64(pem(certificate))}}}}}};
  auto details = signing.curve == "P-384" ? "PKIX_ECDSA_P384_SHA_384" : "PKIX_ECDSA_P256_SHA_256";
  if (signing.rekor_v2)
    spec = {{"hashedRekordV002",
             {{"data", {{"algorithm", "SHA2_256"}, {"digest", base64(logged)}}},
              {"signature",
               {{"content", base64(signature)},
                {"verifier",
                 {{"keyDetails", details}, {"x509Certificate", {{"rawBytes", base64(certificate)}}}}}}}}}};
  auto body =
      json{{"apiVersion", signing.rekor_v2 ? "0.0.2" : "0.0.1"}, {"kind", "hashedrekord"}, {"spec", spec}}
          .dump();
  json bundle = {{"mediaType", "application/vnd.dev.sigstore.bundle.v0.3+json"},
                 {"verificationMaterial",
                  {{"certificate", {{"rawBytes", base64(certificate)}}},
                   {"tlogEntries", json::array({keys_->entry(body, signing)})}}},
                 {"messageSignature",
                  {{"messageDigest", {{"algorithm", "SHA2_256"}, {"digest", base64(digest)}}},
                   {"signature", base64(signature)}}}};
  if (signing.timestamp || signing.rekor_v2)
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = json::array(
        {{{"signedTimestamp", base64(keys_->timestamp(signature, signing.time + signing.timestamp_delay))}}});
  return bundle;
}

}  // namespace kernels::test
