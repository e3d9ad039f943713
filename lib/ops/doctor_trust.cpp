#include "kernels/verify/trusted_root.h"

#include "doctor_parts.h"

namespace kernels::ops {

namespace {

constexpr const char* kVariable = "KERNELS_SIGNATURES";

}  // namespace

TrustReport try_trust(const machine::Environment& environment) {
  TrustReport report{.policy = SignaturePolicy::warn,
                     .policy_source = "default",
                     .root_sha256 = std::string(verify::kEmbeddedRootSha256),
                     .root_date = std::string(verify::kEmbeddedRootDate),
                     .confinement = bundle::try_confinement()};
  auto said = environment(kVariable);
  if (!said || said->empty()) return report;
  report.policy_source = kVariable;
  auto policy = parse_signature_policy(*said);
  report.policy = policy ? std::optional(*policy) : std::nullopt;
  return report;
}

std::vector<Finding> trust_findings(const TrustReport& trust) {
  std::vector<Finding> out;
  if (!trust.policy)
    out.push_back({.severity = Severity::problem,
                   .what = std::string("`") + kVariable + "` is none of `off`, `warn` and `require`",
                   .fix = std::string("set `") + kVariable + "` to one of them, or unset it"});
  if (trust.confinement.landlock == 0 || !trust.confinement.seccomp)
    out.push_back({.severity = Severity::note,
                   .what = "the process that unpacks bundles is held back less than it could be: " +
                           trust.confinement.str(),
                   .fix = "Linux 5.13 and newer have both, if they are built with them and no container "
                          "forbids them"});
  return out;
}

}  // namespace kernels::ops
