#include "view_signature.h"

#include <chrono>
#include <ctime>

#include "json_values.h"
#include "text.h"

namespace kernels::app {

namespace {

/// `2026-05-28T20:26:40Z`
std::string time_text(verify::Milliseconds time) {
  std::time_t seconds = time / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::string out(20, ' ');
  std::strftime(out.data(), out.size() + 1, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return out;
}

Json signature_json(const verify::Signature& signature) {
  return {{"issuer", plain(signature.issuer)},
          {"name", plain(signature.name)},
          {"workflow", plain(signature.workflow)},
          {"source_repository", plain(signature.source_repository)},
          {"source_commit", plain(signature.source_commit)},
          {"source_ref", plain(signature.source_ref)},
          {"run", plain(signature.run)},
          {"signed_at", time_text(signature.signed_at)},
          {"log", signature.log},
          {"log_index", signature.log_index}};
}

Json root_json(const ops::SignatureRules& rules) {
  return {{"description", rules.root_description()}, {"sha256", rules.root().sha256}};
}

Json null_if_empty(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

}  // namespace

std::string signatures_text(const std::vector<ops::VariantSignature>& signatures) {
  std::vector<std::vector<std::string>> rows = {{"VARIANT", "SIGNATURE", "SIGNER", "SIGNED"}};
  std::string complaints;
  for (const auto& one : signatures) {
    const auto& result = one.result;
    rows.push_back({one.variant, to_string(result.outcome),
                    result.signature ? ops::signer_name(*result.signature) : "",
                    result.signature ? time_text(result.signature->signed_at) : ""});
    if (one.is_good()) continue;
    complaints += one.variant + ": " + result.reason + "\n";
    if (!result.hint.empty()) complaints += "  hint: " + result.hint + "\n";
  }
  constexpr std::size_t kColumns = 120;
  return table_within(kColumns, rows) + (complaints.empty() ? "" : "\n" + complaints);
}

std::string signatures_json(const std::vector<ops::VariantSignature>& signatures,
                            const ops::SignatureRules& rules) {
  Json out = {
      {"schema", "kernels.signatures/1"}, {"trusted_root", root_json(rules)}, {"variants", Json::array()}};
  for (const auto& one : signatures) {
    Json variant = {{"repo_id", one.repo.str()},
                    {"commit", one.commit ? Json(one.commit->str()) : Json()},
                    {"variant", one.variant}};
    variant.update(verification_json(one.result));
    out["variants"].push_back(std::move(variant));
  }
  return printed(out);
}

Json verification_json(const std::optional<verify::VariantVerification>& result) {
  if (!result) return nullptr;
  return {{"outcome", to_string(result->outcome)},
          {"failed_step", result->step ? Json(to_string(*result->step)) : Json()},
          {"reason", null_if_empty(result->reason)},
          {"signature", result->signature ? signature_json(*result->signature) : Json()}};
}

std::string blob_text(const std::string& file, const verify::Signature& signature) {
  return file + ": signed by " + ops::signer_name(signature) + " at " + time_text(signature.signed_at) +
         ", in the log " + signature.log + " as " + std::to_string(signature.log_index) + "\n";
}

std::string blob_json(const std::string& file,
                      const std::expected<verify::Signature, verify::Failure>& result,
                      const ops::SignatureRules& rules) {
  Json out = {{"schema", "kernels.signature/1"}, {"file", file}, {"trusted_root", root_json(rules)}};
  out["good"] = result.has_value();
  out["failed_step"] = result ? Json() : Json(to_string(result.error().step));
  out["reason"] = result ? Json() : Json(result.error().reason);
  out["signature"] = result ? signature_json(*result) : Json();
  return printed(out);
}

}  // namespace kernels::app
