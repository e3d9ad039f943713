#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "kernels/ops/signatures.h"

namespace kernels::app {

/// One variant a line, and what is wrong below.
std::string signatures_text(const std::vector<ops::VariantSignature>& signatures);
/// Schema `kernels.signatures/1`.
std::string signatures_json(const std::vector<ops::VariantSignature>& signatures,
                            const ops::SignatureRules& rules);

/// `outcome`, `failed_step` and `reason` of a signature, and who signed; null where none was looked at.
nlohmann::ordered_json verification_json(const std::optional<verify::VariantVerification>& result);

std::string blob_text(const std::string& file, const verify::Signature& signature);
/// Schema `kernels.signature/1`.
std::string blob_json(const std::string& file,
                      const std::expected<verify::Signature, verify::Failure>& result,
                      const ops::SignatureRules& rules);

}  // namespace kernels::app
