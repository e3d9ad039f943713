#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/verify/trusted_root.h"

namespace kernels::verify {

using Sha256 = std::array<std::byte, 32>;

/// That an entry is in a Merkle tree of a log (RFC 6962 §2.1.1), and what the log signed about that tree.
struct InclusionProof {
  std::uint64_t index = 0;  ///< in its tree; less than `tree_size`
  std::uint64_t tree_size = 0;
  Sha256 root = {};
  std::vector<Sha256> hashes;  ///< from the leaf upwards, at most 64
  std::string checkpoint;      ///< a signed note
};

/// The record of a signature in a transparency log.
struct LogEntry {
  std::uint64_t index = 0;  ///< over all trees of the log
  Bytes log_id;
  std::string kind;
  std::string version;                           ///< `0.0.1` (Rekor v1) or `0.0.2` (Rekor v2)
  Bytes body;                                    ///< as it was logged
  std::optional<std::uint64_t> integrated_time;  ///< Unix seconds; worth something only with the promise
  Bytes promise;  ///< signed entry timestamp; empty: none. Never there without `integrated_time`
  InclusionProof proof;
};

enum class BundleVersion { v0_1, v0_2, v0_3 };

/// A Sigstore bundle with a signature over a file. What it says is not verified yet.
struct Bundle {
  BundleVersion version = BundleVersion::v0_3;
  Bytes certificate;  ///< DER, of the signer
  LogEntry entry;
  std::vector<Bytes> timestamps;  ///< DER, RFC 3161 responses; at most 32, no two equal
  Bytes signature;
  std::optional<Bytes> digest;  ///< SHA-256 of the file, as the bundle states it
};

/// Reads a bundle as strictly as a signer writes it: no unknown or repeated member, no lenient base64 or
/// number, exactly one log entry with proof and checkpoint.
/// Format  sigstore/protobuf-specs, `sigstore_bundle.proto` in protobuf's JSON form; v0.1 to v0.3.
/// Errors  corrupt: anything else, bundles over 1 MiB, and those that are signed by a bare key or that hold a
///         DSSE envelope, which metadata of kernels never does. `what` names the file in errors.
Result<Bundle> parse_bundle(std::string_view json, const std::string& what);

}  // namespace kernels::verify
