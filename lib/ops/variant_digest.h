#pragma once

// A variant against the digest in its metadata.json. Not part of the public interface.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/model/file_entry.h"
#include "kernels/model/lock.h"
#include "kernels/model/metadata.h"

#include "variant_content.h"

namespace kernels::ops {

/// The blob whose bytes a file was verified to have; nothing if that is not known, and the file must be read.
using KnownBlob = std::function<const BlobId*(const std::string& path)>;

/// The blobs that a lock names for the files of a variant. For files that were verified under them. The
/// variant must outlive it.
class KnownBlobs {
 public:
  explicit KnownBlobs(const LockedVariant& variant);
  const BlobId* operator()(const std::string& path) const;

 private:
  std::map<std::string, const BlobId*> blobs_;
};

/// What a digest and the files disagree about; empty lists: nothing.
struct DigestFindings {
  std::vector<std::string> missing;  ///< named by the digest, and not there
  std::vector<std::string> damaged;  ///< other bytes than the digest says, or not readable
  std::vector<std::string> unknown;  ///< there, and not named: also links to folders, FIFOs and the like
  bool good() const { return missing.empty() && damaged.empty() && unknown.empty(); }
  /// The first of them, as in "`_x.so` has other bytes than the digest in metadata.json says".
  std::string first() const;
};

/// The digest covers everything in a variant but the file that holds it and its signature.
bool is_covered_by_digest(std::string_view path);

/// Compares the files with the digest, which `metadata` must have. A large file that was verified under its
/// SHA-256 is not read again for a digest of that kind.
/// Cost  reads all other files.
DigestFindings compare_with_digest(VariantContent& content, const Metadata& metadata,
                                   const KnownBlob& known = {});

}  // namespace kernels::ops
