#include "kernels/verify/trusted_root.h"

#include <algorithm>
#include <array>

#include "kernels/base/hash.h"

#include "crypto_impl.h"
#include "protobuf_json_impl.h"

namespace kernels::verify {

namespace {

struct KnownKey {
  std::string_view name;
  KeyKind kind;
};
constexpr std::array kKnownKeys = {
    KnownKey{"PKIX_ECDSA_P256_SHA_256", KeyKind::ecdsa_p256},
    KnownKey{"PKIX_ECDSA_P384_SHA_384", KeyKind::ecdsa_p384},
    KnownKey{"PKIX_ECDSA_P521_SHA_512", KeyKind::ecdsa_p521},
    KnownKey{"PKIX_ED25519", KeyKind::ed25519},
    KnownKey{"PKIX_RSA_PKCS1V15_2048_SHA256", KeyKind::rsa},
    KnownKey{"PKIX_RSA_PKCS1V15_3072_SHA256", KeyKind::rsa},
    KnownKey{"PKIX_RSA_PKCS1V15_4096_SHA256", KeyKind::rsa},
};

std::string host_of(std::string_view url) {
  auto scheme = url.find("://");
  auto host = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  return std::string(host.substr(0, host.find('/')));
}

Milliseconds read_time(ObjectReader& reader, const char* key, std::optional<std::string> text) {
  auto time = text ? parse_time(*text) : std::nullopt;
  if (!time)
    reader.complain(
        Error(Errc::corrupt, std::string("`") + key + "` of `validFor` is " +
                                 (text ? "not a time such as `2022-12-31T23:59:59.999Z`" : "missing")));
  return time.value_or(0);
}

Validity read_validity(ObjectReader& owner, const std::string& what) {
  ObjectReader reader(owner.object("validFor"), what);
  Validity out;
  out.start = read_time(reader, "start", reader.optional_text("start"));
  if (auto end = reader.optional_text("end")) out.end = read_time(reader, "end", std::move(end));
  reader.refuse_unknown();
  if (auto status = reader.status(); !status) owner.complain(std::move(status).error());
  return out;
}

/// Rekor v2 derives the id as signed notes do, from the name and the raw key; all others hash the whole key.
bool is_id_of(const Log& log) {
  if (std::ranges::equal(log.id, sha256(log.key))) return true;
  constexpr std::size_t kRawKey = 32;
  if (log.kind != KeyKind::ed25519 || log.key.size() < kRawKey) return false;
  auto name = bytes_of(log.host + "\n\x01");
  return std::ranges::equal(log.id, sha256(name, std::span(log.key).last(kRawKey)));
}

Status check_log(const Log& log) {
  if (auto key = parse_key(log.key, log.kind); !key) return fail(std::move(key).error());
  if (!is_id_of(log)) return fail(Errc::corrupt, "`keyId` is not that of the key");
  return {};
}

/// Nothing for a key of a kind that is not known here.
std::optional<Log> read_log(const Json& json, const std::string& what, ObjectReader& root) {
  ObjectReader reader(json, what);
  Log log;
  log.host = host_of(reader.text("baseUrl"));
  reader.optional_text("hashAlgorithm");
  reader.optional_text("operator");
  ObjectReader key(reader.object("publicKey"), "`publicKey` of " + what);
  log.key = read_bytes(key, "rawBytes");
  auto name = key.text("keyDetails");
  log.validity = read_validity(key, "`validFor` of " + what);
  ObjectReader id(reader.object("logId"), "`logId` of " + what);
  log.id = read_bytes(id, "keyId");
  reader.object_or_empty("checkpointKeyId");
  for (auto* part : {&key, &id, &reader}) {
    part->refuse_unknown();
    if (auto status = part->status(); !status) root.complain(std::move(status).error());
  }
  const auto* known = std::ranges::find(kKnownKeys, name, &KnownKey::name);
  if (known == kKnownKeys.end() || !root.status()) return std::nullopt;
  log.kind = known->kind;
  if (auto good = check_log(log); !good) {
    root.complain(std::move(good).error().while_doing("reading " + what));
    return std::nullopt;
  }
  return log;
}

std::vector<Log> read_logs(ObjectReader& root, const char* key) {
  std::vector<Log> out;
  std::size_t number = 0;
  for (const auto& json : root.array_or_empty(key))
    if (auto log = read_log(json, std::string("`") + key + "[" + std::to_string(number++) + "]`", root))
      out.push_back(std::move(*log));
  return out;
}

Authority read_authority(const Json& json, const std::string& what, ObjectReader& root) {
  ObjectReader reader(json, what);
  Authority out;
  reader.optional_text("uri");
  reader.optional_text("operator");
  reader.object_or_empty("subject");
  ObjectReader chain(reader.object("certChain"), "`certChain` of " + what);
  for (const auto& certificate : chain.array("certificates")) {
    ObjectReader one(certificate, "a certificate of " + what);
    out.chain.push_back(read_bytes(one, "rawBytes"));
    one.refuse_unknown();
    if (auto status = one.status(); !status) chain.complain(std::move(status).error());
  }
  if (out.chain.empty()) chain.complain(Error(Errc::corrupt, "a chain without certificates"));
  out.validity = read_validity(reader, "`validFor` of " + what);
  for (auto* part : {&chain, &reader}) {
    part->refuse_unknown();
    if (auto status = part->status(); !status) root.complain(std::move(status).error());
  }
  if (auto parsed = parse_certificates(out.chain); root.status() && !parsed)
    root.complain(std::move(parsed).error().while_doing("reading " + what));
  return out;
}

std::vector<Authority> read_authorities(ObjectReader& root, const char* key) {
  std::vector<Authority> out;
  std::size_t number = 0;
  for (const auto& json : root.array_or_empty(key))
    out.push_back(read_authority(json, std::string("`") + key + "[" + std::to_string(number++) + "]`", root));
  return out;
}

Milliseconds newest_start(const TrustedRoot& root) {
  Milliseconds newest = 0;
  for (const auto* logs : {&root.logs, &root.certificate_logs})
    for (const auto& log : *logs)
      newest = std::max(newest, log.validity.start);
  for (const auto* authorities : {&root.certificate_authorities, &root.timestamp_authorities})
    for (const auto& authority : *authorities)
      newest = std::max(newest, authority.validity.start);
  return newest;
}

}  // namespace

Result<TrustedRoot> parse_trusted_root(std::string_view json, const std::string& what) {
  auto document = parse_document(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  auto type = reader.text("mediaType");
  if (reader.status() && type != "application/vnd.dev.sigstore.trustedroot+json;version=0.1" &&
      type != "application/vnd.dev.sigstore.trustedroot.v0.2+json")
    reader.complain(Error(Errc::corrupt, "`mediaType` is not that of a trusted root of version 0.1 or 0.2"));
  TrustedRoot root;
  root.logs = read_logs(reader, "tlogs");
  root.certificate_authorities = read_authorities(reader, "certificateAuthorities");
  root.certificate_logs = read_logs(reader, "ctlogs");
  root.timestamp_authorities = read_authorities(reader, "timestampAuthorities");
  reader.refuse_unknown();
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  root.sha256 = sha256_hex(json);
  root.newest = newest_start(root);
  root.is_embedded = root.sha256 == kEmbeddedRootSha256;
  return root;
}

}  // namespace kernels::verify
