#include "variant_digest.h"

#include <algorithm>

#include "kernels/base/hash.h"

namespace kernels::ops {

KnownBlobs::KnownBlobs(const LockedVariant& variant) {
  auto prefix = "build/" + variant.name + "/";
  for (const auto& file : variant.files)
    if (file.path.str().starts_with(prefix))
      blobs_.emplace(file.path.str().substr(prefix.size()), &file.blob);
}

const BlobId* KnownBlobs::operator()(const std::string& path) const {
  auto found = blobs_.find(path);
  return found == blobs_.end() ? nullptr : found->second;
}

static Result<std::string> digest_of(VariantContent& content, const std::string& path,
                                     HashAlgorithm algorithm) {
  auto source = content.open(path);
  if (!source) return std::unexpected(std::move(source).error());
  Hasher hasher(algorithm);
  for (std::uint64_t at = 0; at < (*source)->size(); at += ByteSource::kMaxView) {
    auto bytes = (*source)->view(at, std::min(ByteSource::kMaxView, (*source)->size() - at));
    if (!bytes) return std::unexpected(std::move(bytes).error());
    hasher.update(bytes->bytes());
  }
  return to_base64(hasher.finish());
}

/// The digest that follows from the name of a verified blob.
static std::optional<std::string> known_digest(const std::string& path, HashAlgorithm algorithm,
                                               const KnownBlob& known) {
  const auto* blob = known ? known(path) : nullptr;
  if (blob == nullptr || !blob->is_sha256() || algorithm != HashAlgorithm::sha256) return std::nullopt;
  auto raw = from_hex(blob->str());
  if (!raw) return std::nullopt;
  return to_base64(*raw);
}

bool is_covered_by_digest(std::string_view path) {
  return path != "metadata.json" && path != "metadata.json.sigstore";
}

std::string DigestFindings::first() const {
  if (!damaged.empty())
    return "`" + damaged.front() + "` has other bytes than the digest in metadata.json says";
  if (!missing.empty())
    return "`" + missing.front() + "` is missing, which the digest in metadata.json names";
  if (!unknown.empty()) return "`" + unknown.front() + "` is not named by the digest in metadata.json";
  return {};
}

DigestFindings compare_with_digest(VariantContent& content, const Metadata& metadata,
                                   const KnownBlob& known) {
  DigestFindings out;
  auto algorithm = *metadata.digest_algorithm;
  for (const auto& [path, digest] : metadata.digest_files) {
    if (content.find(path) == nullptr) {
      out.missing.push_back(path);
      continue;
    }
    auto found = known_digest(path, algorithm, known);
    if (!found)
      if (auto read = digest_of(content, path, algorithm)) found = std::move(*read);
    if (!found || *found != digest) out.damaged.push_back(path);
  }
  for (const auto& file : content.files())
    if (is_covered_by_digest(file.path) && !metadata.digest_files.contains(file.path))
      out.unknown.push_back(file.path);
  for (const auto& path : content.strange())
    out.unknown.push_back(path);
  return out;
}

}  // namespace kernels::ops
