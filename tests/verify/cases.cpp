#include "verify/cases.h"

#include <algorithm>

#include "kernels/base/hash.h"

namespace kernels::test {

verify::Sha256 hash_of(std::string_view text) {
  Hasher hasher(HashAlgorithm::sha256);
  hasher.update(text);
  auto value = hasher.finish();
  verify::Sha256 out = {};
  std::ranges::copy(value, out.begin());
  return out;
}

Verdict verdict_of(std::string_view bundle, std::string_view artifact, std::string_view root,
                   const verify::Policy& policy) {
  auto trusted = verify::parse_trusted_root(root, "trusted_root.json");
  if (!trusted) return {.step = "trusted root", .reason = describe(trusted.error())};
  auto parsed = verify::parse_bundle(bundle, "bundle.sigstore.json");
  if (!parsed) return {.step = "bundle", .reason = describe(parsed.error())};
  auto verified = verify::verify_bundle(*parsed, hash_of(artifact), *trusted, policy);
  if (!verified) return {.step = to_string(verified.error().step), .reason = verified.error().reason};
  return {.step = "accepted", .reason = {}};
}

}  // namespace kernels::test
