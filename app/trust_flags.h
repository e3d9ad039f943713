#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "kernels/base/error.h"
#include "kernels/model/project.h"
#include "kernels/ops/signatures.h"

namespace kernels::app {

/// `--signatures` and `--trusted-root` of commands that verify what they take in.
struct TrustFlags {
  std::optional<std::string> signatures;
  std::optional<std::string> trusted_root;
};

void add_trusted_root_flag(CLI::App& command, TrustFlags& flags);
void add_trust_flags(CLI::App& command, TrustFlags& flags);

/// By project, `KERNELS_SIGNATURES` and flag. Errors  invalid_argument.
Result<ops::SignatureRules> signature_rules(const TrustFlags& flags, const TrustSettings& project);

}  // namespace kernels::app
