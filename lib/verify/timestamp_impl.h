#pragma once

// RFC 3161 timestamps. Not part of the public interface.

#include "kernels/verify/verify.h"

#include "crypto_impl.h"

namespace kernels::verify {

/// What came of a timestamp.
struct TimestampResult {
  bool is_readable = true;           ///< DER of a timestamp response, whole
  std::optional<Milliseconds> time;  ///< if an authority of the trusted root vouches for it
  std::string reason;                ///< if not
};

/// Verifies that an authority of the root saw a signature, and when.
TimestampResult check_timestamp(const Bytes& der, const Bytes& signature, const TrustedRoot& root);

}  // namespace kernels::verify
