#pragma once

#include <string_view>

namespace kernels::verify {

/// The trusted root of Sigstore's production services that this program was built with: the bytes of the
/// file `trusted_root.json` of its TUF repository (source and date: `lib/verify/data/README.md`).
std::string_view embedded_trusted_root();

/// SHA-256 of `embedded_trusted_root()`, hex, and the day on which it was last looked up.
inline constexpr std::string_view kEmbeddedRootSha256 =
    "6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66";
inline constexpr std::string_view kEmbeddedRootDate = "2026-08-21";

}  // namespace kernels::verify
