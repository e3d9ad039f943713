#include "kernels/verify/bundle.h"

#include <algorithm>
#include <array>

#include "crypto_impl.h"
#include "protobuf_json_impl.h"

namespace kernels::verify {

namespace {

constexpr std::size_t kMostTimestamps = 32;
constexpr std::size_t kMostHashes = 64;

struct MediaType {
  std::string_view name;
  BundleVersion version;
};
constexpr std::array kMediaTypes = {
    MediaType{"application/vnd.dev.sigstore.bundle+json;version=0.1", BundleVersion::v0_1},
    MediaType{"application/vnd.dev.sigstore.bundle+json;version=0.2", BundleVersion::v0_2},
    MediaType{"application/vnd.dev.sigstore.bundle+json;version=0.3", BundleVersion::v0_3},
    MediaType{"application/vnd.dev.sigstore.bundle.v0.3+json", BundleVersion::v0_3},
};

void complain(ObjectReader& reader, std::string text) {
  reader.complain(Error(Errc::corrupt, std::move(text)));
}

/// Ends the reading of a part: unknown members are refused, and the whole takes over its complaint.
void finish(ObjectReader& part, ObjectReader& whole) {
  part.refuse_unknown();
  if (auto status = part.status(); !status) whole.complain(std::move(status).error());
}

InclusionProof read_proof(ObjectReader& entry) {
  ObjectReader reader(entry.object("inclusionProof"), "`inclusionProof`");
  InclusionProof out;
  out.index = read_integer(reader, "logIndex");
  out.tree_size = read_integer(reader, "treeSize");
  out.root = read_hash(reader, "rootHash");
  const auto& hashes = reader.array_or_empty("hashes");
  if (hashes.size() > kMostHashes) complain(reader, "more than 64 hashes in an inclusion proof");
  for (const auto& hash : hashes) {
    Json wrapped = {{"hashes", hash}};
    ObjectReader one(wrapped, "a hash of `inclusionProof`");
    if (reader.status()) out.hashes.push_back(read_hash(one, "hashes"));
    if (auto status = one.status(); !status) reader.complain(std::move(status).error());
  }
  ObjectReader checkpoint(reader.object("checkpoint"), "`checkpoint`");
  out.checkpoint = checkpoint.text("envelope");
  finish(checkpoint, reader);
  if (out.index >= out.tree_size)
    complain(reader, "`logIndex` of the inclusion proof is not below `treeSize`");
  finish(reader, entry);
  return out;
}

Bytes read_promise(ObjectReader& entry) {
  if (entry.is_null("inclusionPromise")) {
    entry.object_or_empty("inclusionPromise");
    return {};
  }
  ObjectReader reader(entry.object("inclusionPromise"), "`inclusionPromise`");
  auto promise = read_bytes(reader, "signedEntryTimestamp");
  finish(reader, entry);
  return promise;
}

LogEntry read_entry(const Json& json, ObjectReader& material) {
  ObjectReader reader(json, "`tlogEntries[0]`");
  LogEntry out;
  out.index = read_integer(reader, "logIndex");
  ObjectReader id(reader.object("logId"), "`logId`");
  out.log_id = read_bytes(id, "keyId");
  finish(id, reader);
  ObjectReader kind(reader.object("kindVersion"), "`kindVersion`");
  out.kind = kind.text("kind");
  out.version = kind.text("version");
  if (kind.status() && out.version != "0.0.1" && out.version != "0.0.2")
    complain(kind, "log entries of version 0.0.1 and 0.0.2 are known, this is another");
  finish(kind, reader);
  out.body = read_bytes(reader, "canonicalizedBody");
  out.integrated_time = read_optional_integer(reader, "integratedTime");
  if (out.integrated_time == 0U) out.integrated_time.reset();  // how protobuf writes that there is none
  out.promise = read_promise(reader);
  if (!out.promise.empty() && !out.integrated_time)
    complain(reader, "an inclusion promise without `integratedTime`");
  out.proof = read_proof(reader);
  finish(reader, material);
  return out;
}

Bytes read_certificate(ObjectReader& owner, const Json& json, const std::string& what) {
  ObjectReader reader(json, what);
  auto der = read_bytes(reader, "rawBytes");
  finish(reader, owner);
  return der;
}

/// The first of a chain; the others are not used, but none may be a root.
Bytes read_chain(ObjectReader& material) {
  ObjectReader reader(material.object("x509CertificateChain"), "`x509CertificateChain`");
  std::vector<Bytes> chain;
  for (const auto& json : reader.array("certificates"))
    chain.push_back(read_certificate(reader, json, "a certificate of the chain"));
  if (chain.empty()) complain(reader, "a chain without certificates");
  finish(reader, material);
  if (!material.status()) return {};
  auto parsed = parse_certificates(chain);
  if (!parsed) {
    material.complain(std::move(parsed).error());
    return {};
  }
  for (int i = 0; i < sk_X509_num(parsed->get()); ++i) {
    const auto* certificate = sk_X509_value(parsed->get(), i);
    if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0)
      complain(material, "a chain that holds its own root");
  }
  return chain.front();
}

Bytes read_signer(ObjectReader& material, BundleVersion version) {
  bool has_certificate = !material.is_null("certificate");
  bool has_chain = !material.is_null("x509CertificateChain");
  if (!material.is_null("publicKey")) complain(material, "signed by a bare key; a certificate is needed");
  if (has_certificate == has_chain)
    complain(material, "one of `certificate` and `x509CertificateChain` is needed");
  if (has_chain && version == BundleVersion::v0_3)
    complain(material, "a certificate chain in a bundle of version 0.3");
  if (has_certificate && version != BundleVersion::v0_3)
    complain(material, "a single certificate in a bundle older than version 0.3");
  if (!material.status()) return {};
  material.object_or_empty("publicKey");
  material.object_or_empty("certificate");
  material.object_or_empty("x509CertificateChain");
  if (has_chain) return read_chain(material);
  auto der = read_certificate(material, material.object("certificate"), "`certificate`");
  if (material.status())
    if (auto parsed = parse_certificate(der); !parsed) material.complain(std::move(parsed).error());
  return der;
}

std::vector<Bytes> read_timestamps(ObjectReader& material) {
  std::vector<Bytes> out;
  ObjectReader reader(material.object_or_empty("timestampVerificationData"), "`timestampVerificationData`");
  const auto& timestamps = reader.array_or_empty("rfc3161Timestamps");
  if (timestamps.size() > kMostTimestamps) complain(reader, "more than 32 timestamps");
  for (const auto& json : timestamps) {
    if (!reader.status()) break;
    ObjectReader one(json, "an element of `rfc3161Timestamps`");
    auto der = read_bytes(one, "signedTimestamp");
    finish(one, reader);
    if (std::ranges::find(out, der) != out.end()) complain(reader, "the same timestamp twice");
    out.push_back(std::move(der));
  }
  finish(reader, material);
  return out;
}

void read_material(ObjectReader& reader, Bundle& bundle) {
  ObjectReader material(reader.object("verificationMaterial"), "`verificationMaterial`");
  bundle.certificate = read_signer(material, bundle.version);
  const auto& entries = material.array("tlogEntries");
  if (entries.size() == 1)
    bundle.entry = read_entry(entries.front(), material);
  else
    complain(material, std::to_string(entries.size()) + " log entries where one is expected");
  bundle.timestamps = read_timestamps(material);
  if (material.status() && bundle.version == BundleVersion::v0_1 && bundle.entry.promise.empty())
    complain(material, "a bundle of version 0.1 without an inclusion promise");
  finish(material, reader);
}

void read_signature(ObjectReader& reader, Bundle& bundle) {
  if (!reader.is_null("dsseEnvelope"))
    complain(reader, "a DSSE envelope where a signature over a file is expected");
  reader.object_or_empty("dsseEnvelope");
  ObjectReader signature(reader.object("messageSignature"), "`messageSignature`");
  bundle.signature = read_bytes(signature, "signature");
  if (!signature.is_null("messageDigest")) {
    ObjectReader digest(signature.object("messageDigest"), "`messageDigest`");
    if (auto name = digest.text("algorithm"); digest.status() && name != "SHA2_256")
      complain(digest, "`algorithm` is not SHA2_256");
    bundle.digest = read_bytes(digest, "digest");
    finish(digest, signature);
  }
  signature.object_or_empty("messageDigest");
  finish(signature, reader);
}

}  // namespace

Result<Bundle> parse_bundle(std::string_view json, const std::string& what) {
  auto document = parse_document(json, what);
  if (!document) return fail(std::move(document).error());
  ObjectReader reader(*document, what);
  Bundle bundle;
  auto type = reader.text("mediaType");
  const auto* known = std::ranges::find(kMediaTypes, type, &MediaType::name);
  if (known != kMediaTypes.end())
    bundle.version = known->version;
  else
    complain(reader, "`mediaType` is not that of a bundle of version 0.1 to 0.3");
  if (reader.status()) read_material(reader, bundle);
  if (reader.status()) read_signature(reader, bundle);
  if (reader.status()) reader.refuse_unknown();
  if (auto status = reader.status(); !status) return fail(std::move(status).error());
  return bundle;
}

}  // namespace kernels::verify
