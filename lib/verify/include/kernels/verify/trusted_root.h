#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::verify {

using Bytes = std::vector<std::byte>;

/// Milliseconds since 1970-01-01T00:00:00Z.
using Milliseconds = std::int64_t;

/// When something may be trusted; closed at both ends.
struct Validity {
  Milliseconds start = 0;
  std::optional<Milliseconds> end;
  bool holds(Milliseconds time) const { return start <= time && (!end || time <= *end); }
};

/// How a key signs, from `keyDetails`.
enum class KeyKind { ecdsa_p256, ecdsa_p384, ecdsa_p521, ed25519, rsa };

/// A transparency log (Rekor) or a certificate transparency log.
struct Log {
  std::string host;  ///< of its address: the name under which Rekor signs checkpoints
  Bytes id;          ///< 32 bytes, compared with the key when the file is read
  KeyKind kind = KeyKind::ecdsa_p256;
  Bytes key;  ///< DER, SubjectPublicKeyInfo
  Validity validity;
};

/// A certificate authority (Fulcio) or a timestamp authority.
struct Authority {
  std::vector<Bytes> chain;  ///< DER, the leaf-most first, the trust anchor last; not empty
  Validity validity;
};

/// Whom Sigstore signatures are traced back to. An immutable value.
struct TrustedRoot {
  std::vector<Log> logs;
  std::vector<Log> certificate_logs;
  std::vector<Authority> certificate_authorities;
  std::vector<Authority> timestamp_authorities;
  std::string sha256;        ///< of the file, hex
  Milliseconds newest = 0;   ///< the latest `validFor.start` in it: the file has no date of its own
  bool is_embedded = false;  ///< whether it is the one that this program was built with
};

/// Reads a `trusted_root.json` of Sigstore (protobuf JSON, media types v0.1 and v0.2). Keys of unknown kinds
/// are left out.
/// Format  sigstore/protobuf-specs, `sigstore_trustroot.proto`.
/// Errors  corrupt: not such a file, larger than 1 MiB, a range of validity without `start`, an id that is
///         not that of its key. `what` names the file in errors.
Result<TrustedRoot> parse_trusted_root(std::string_view json, const std::string& what);

/// The trusted root of Sigstore's production services that this program was built with: the bytes of the
/// file `trusted_root.json` of its TUF repository (source and date: `lib/verify/data/README.md`).
std::string_view embedded_trusted_root();

/// SHA-256 of `embedded_trusted_root()`, hex, and the day on which it was last looked up.
inline constexpr std::string_view kEmbeddedRootSha256 =
    "6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66";
inline constexpr std::string_view kEmbeddedRootDate = "2026-08-21";

}  // namespace kernels::verify
