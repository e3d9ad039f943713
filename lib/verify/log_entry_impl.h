#pragma once

// What a transparency log (Rekor) promises, proves and records. Not part of the public interface.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/verify/verify.h"

#include "crypto_impl.h"

namespace kernels::verify {

/// The logs of a trusted root that have the id of an entry. Errors  integrity: none.
Result<std::vector<const Log*>> find_logs(const TrustedRoot& root, const LogEntry& entry);

/// The text that Rekor v1 signs as its promise (RFC 8785).
std::string promise_text(const LogEntry& entry);
/// Verifies the promise and returns the time that it fixes. Errors  integrity.
Result<Milliseconds> check_promise(const LogEntry& entry, const std::vector<const Log*>& logs);

Sha256 leaf_hash(std::span<const std::byte> body);
/// The root that an inclusion proof leads to (RFC 9162 §2.1.3.2). Errors  integrity: not as many hashes as a
/// tree of that size needs.
Result<Sha256> root_of(const Sha256& leaf, const InclusionProof& proof);
Status check_inclusion(const LogEntry& entry);

/// A signed note of C2SP that states a tree.
struct Checkpoint {
  std::string_view text;  ///< what is signed
  std::string_view origin;
  std::uint64_t size = 0;
  Bytes root;
  struct Line {
    std::string_view name;
    Bytes hint;  ///< 4 bytes
    Bytes signature;
  };
  std::vector<Line> lines;
};
/// Errors  integrity: not of that form. The views are into `envelope`.
Result<Checkpoint> parse_checkpoint(std::string_view envelope);
/// `times`: all that were established; the log's key must have been valid at each.
Status check_checkpoint(const LogEntry& entry, const std::vector<const Log*>& logs,
                        const std::vector<Milliseconds>& times);

/// The body that the log must have recorded. Errors  integrity: an entry of another kind.
Result<std::string> expected_body(const Bundle& bundle, KeyKind key, const Sha256& file);
Status check_body(const Bundle& bundle, KeyKind key, const Sha256& file);

}  // namespace kernels::verify
