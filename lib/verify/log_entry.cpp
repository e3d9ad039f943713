#include <algorithm>
#include <bit>

#include "kernels/base/hash.h"

#include "log_entry_impl.h"

namespace kernels::verify {

namespace {

constexpr std::array kNodePrefix = {std::byte{1}};
constexpr std::array kLeafPrefix = {std::byte{0}};

Sha256 node_hash(const Sha256& left, const Sha256& right) {
  return sha256(kNodePrefix, left, right);
}

/// Lines of 64 characters, as all that write PEM do.
std::string to_pem(std::span<const std::byte> der) {
  auto text = to_base64(der);
  std::string out = "-----BEGIN CERTIFICATE-----\n";
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < text.size(); at += kLine)
    out += text.substr(at, kLine) + "\n";
  return out + "-----END CERTIFICATE-----\n";
}

std::string_view key_details(KeyKind key) {
  if (key == KeyKind::ecdsa_p384) return "PKIX_ECDSA_P384_SHA_384";
  if (key == KeyKind::ecdsa_p521) return "PKIX_ECDSA_P521_SHA_512";
  return "PKIX_ECDSA_P256_SHA_256";
}

std::string body_v1(const Bundle& bundle, const Sha256& file) {
  return R"({"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":")" +
         to_hex(file) + R"("}},"signature":{"content":")" + to_base64(bundle.signature) +
         R"(","publicKey":{"content":")" + to_base64(bytes_of(to_pem(bundle.certificate))) + R"("}}}})";
}

std::string body_v2(const Bundle& bundle, KeyKind key, const Sha256& file) {
  return R"({"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":")" +
         to_base64(file) + R"("},"signature":{"content":")" + to_base64(bundle.signature) +
         R"(","verifier":{"keyDetails":")" + std::string(key_details(key)) +
         R"(","x509Certificate":{"rawBytes":")" + to_base64(bundle.certificate) + R"("}}}}}})";
}

}  // namespace

Result<std::vector<const Log*>> find_logs(const TrustedRoot& root, const LogEntry& entry) {
  std::vector<const Log*> out;
  for (const auto& log : root.logs)
    if (std::ranges::equal(log.id, entry.log_id)) out.push_back(&log);
  if (out.empty())
    return fail(
        refuse("the entry is in a log that the trusted root does not have")
            .with_hint("the trusted root may be too old: name a newer one with `--trusted-root FILE`"));
  return out;
}

std::string promise_text(const LogEntry& entry) {
  return R"({"body":")" + to_base64(entry.body) + R"(","integratedTime":)" +
         std::to_string(entry.integrated_time.value_or(0)) + R"(,"logID":")" + to_hex(entry.log_id) +
         R"(","logIndex":)" + std::to_string(entry.index) + "}";
}

Result<Milliseconds> check_promise(const LogEntry& entry, const std::vector<const Log*>& logs) {
  constexpr std::uint64_t kMostExact = (std::uint64_t{1} << 53U) - 1;  // of RFC 8785's numbers
  if (entry.version != "0.0.1" || (entry.kind != "hashedrekord" && entry.kind != "dsse"))
    return fail(refuse("an inclusion promise for an entry of a kind that has none"));
  if (!entry.integrated_time || *entry.integrated_time > kMostExact || entry.index > kMostExact)
    return fail(refuse("a time or index that the promise cannot state"));
  auto time = static_cast<Milliseconds>(*entry.integrated_time) * 1000;
  auto text = bytes_of(promise_text(entry));
  for (const auto* log : logs) {
    auto key = parse_key(log->key, log->kind);
    if (key && log->validity.holds(time) &&
        is_signed_by(key->get(), log->kind, text, entry.promise, Digest::sha256))
      return time;
  }
  return fail(refuse("the inclusion promise is not signed by the log, or not while its key was valid"));
}

Sha256 leaf_hash(std::span<const std::byte> body) {
  return sha256(kLeafPrefix, body);
}

Result<Sha256> root_of(const Sha256& leaf, const InclusionProof& proof) {
  auto inner = static_cast<std::size_t>(std::bit_width(proof.index ^ (proof.tree_size - 1)));
  auto border = static_cast<std::size_t>(inner >= 64 ? 0 : std::popcount(proof.index >> inner));
  if (proof.hashes.size() != inner + border)
    return fail(refuse("the inclusion proof has " + std::to_string(proof.hashes.size()) +
                       " hashes, a tree of its size needs " + std::to_string(inner + border)));
  auto hash = leaf;
  for (std::size_t i = 0; i < inner; ++i) {
    bool is_right = ((proof.index >> i) & 1U) != 0;
    hash = is_right ? node_hash(proof.hashes[i], hash) : node_hash(hash, proof.hashes[i]);
  }
  for (std::size_t i = inner; i < proof.hashes.size(); ++i)
    hash = node_hash(proof.hashes[i], hash);
  return hash;
}

Status check_inclusion(const LogEntry& entry) {
  auto root = root_of(leaf_hash(entry.body), entry.proof);
  if (!root) return fail(std::move(root).error());
  if (*root != entry.proof.root) return fail(refuse("the inclusion proof does not lead to its root"));
  return {};
}

Result<std::string> expected_body(const Bundle& bundle, KeyKind key, const Sha256& file) {
  if (bundle.entry.kind != "hashedrekord")
    return fail(refuse("the log entry is not about a signature over a file"));
  return bundle.entry.version == "0.0.1" ? body_v1(bundle, file) : body_v2(bundle, key, file);
}

Status check_body(const Bundle& bundle, KeyKind key, const Sha256& file) {
  // Built and compared as bytes: what a log recorded needs no parser of its own.
  auto expected = expected_body(bundle, key, file);
  if (!expected) return fail(std::move(expected).error());
  if (bytes_of(*expected) != bundle.entry.body)
    return fail(refuse("the log recorded another file, signature or certificate"));
  return {};
}

}  // namespace kernels::verify
