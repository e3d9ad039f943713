#include "view_download.h"

#include "json_values.h"
#include "text.h"
#include "view_advice.h"

namespace kernels::app {

Error no_variant_error(const ops::KernelChoice& choice) {
  const auto& repo = choice.kernel->repo.str();
  if (!choice.unknown.empty()) {
    std::string names;
    for (const auto& variant : choice.kernel->variants)
      names += "\n  " + variant.name;
    return Error(Errc::no_match,
                 "`" + repo + "` has no variant `" + choice.unknown.front() + "`; it has" + names);
  }
  std::string text = "no variant of `" + repo + "` fits " + choice.target;
  for (const auto& decision : choice.decisions)
    text += "\n  " + decision.variant.name() + ": " + decision.reason;
  auto advice = advice_text(choice.advice, "To make one fit", "  ");
  if (advice.ends_with('\n')) advice.pop_back();
  if (!advice.empty()) text += "\n" + advice;
  return Error(Errc::no_match, text)
      .with_hint("describe another machine with `--target`, or take them all with `--all-variants`");
}

static std::string variants_of(const ops::DownloadPlan::Kernel& item) {
  std::string last;
  std::string out;
  for (const auto& file : item.files) {
    auto rest = file.path.str().substr(6);
    auto name = rest.substr(0, rest.find('/'));
    if (name != last) out += (out.empty() ? "" : ", ") + name;
    last = name;
  }
  return out;
}

std::string plan_text(const ops::DownloadPlan& plan) {
  std::string out;
  for (const auto& item : plan.fetch)
    out += item.repo.str() + "  " + item.file.path.str() + "  " + human_bytes(item.file.size) + "\n";
  return out + "Would fetch " + counted(plan.fetch.size(), "file") + ", " + human_bytes(plan.fetch_bytes) +
         "; " + counted(plan.present_files, "file") + " already in the cache\n";
}

std::string plan_json(const ops::DownloadPlan& plan) {
  Json out = Json::object();
  out["schema"] = "kernels.download-plan/1";
  out["files"] = Json::array();
  for (const auto& item : plan.fetch)
    out["files"].push_back({{"repo_id", item.repo.str()},
                            {"commit", item.commit.str()},
                            {"path", item.file.path.str()},
                            {"size", item.file.size}});
  out["bytes"] = plan.fetch_bytes;
  out["present_files"] = plan.present_files;
  out["present_bytes"] = plan.present_bytes;
  return printed(out);
}

std::string download_text(const ops::DownloadPlan& plan, const ops::DownloadReport& report,
                          std::chrono::milliseconds took) {
  std::string out;
  for (const auto& item : plan.kernels)
    out +=
        item.kernel->repo.str() + " " + item.kernel->commit.abbreviated() + "  " + variants_of(item) + "\n";
  if (report.files_fetched == 0)
    return out + "Everything is in the cache: " + counted(report.files_present, "file") + " (" +
           human_duration(took) + ")\n";
  out += "Fetched and verified " + counted(report.files_fetched, "file") + ", " +
         human_bytes(report.bytes_fetched) + " (" + human_duration(took) + ", " +
         counted(report.counters.requests, "request") + ")";
  if (report.bytes_resumed > 0)
    out += "; " + human_bytes(report.bytes_resumed) + " were there from an earlier run";
  return out + "\n";
}

std::string bundle_text(const bundle::PackReport& packed, const std::string& file) {
  std::uint64_t files = 0;
  for (const auto& kernel : packed.index.kernels)
    files += kernel.files.size();
  return "Packed " + counted(files, "file") + ", " + human_bytes(packed.file_bytes) + ", into `" + file +
         "`: " + human_bytes(packed.bundle_bytes) + "\n";
}

static Json bundle_json(const std::optional<bundle::PackReport>& packed) {
  if (!packed) return nullptr;
  return {{"entries", packed->index.entries.size()},
          {"bytes", packed->bundle_bytes},
          {"unpacked_bytes", packed->index.bytes()},
          {"file_bytes", packed->file_bytes}};
}

std::string download_json(const ops::DownloadPlan& plan, const ops::DownloadReport& report,
                          const std::optional<bundle::PackReport>& packed) {
  Json out = Json::object();
  out["schema"] = "kernels.download/1";
  out["kernels"] = Json::array();
  for (const auto& item : plan.kernels)
    out["kernels"].push_back({{"repo_id", item.kernel->repo.str()},
                              {"commit", item.kernel->commit.str()},
                              {"variants", variants_of(item)},
                              {"files", item.files.size()}});
  out["files_fetched"] = report.files_fetched;
  out["bytes_fetched"] = report.bytes_fetched;
  out["bytes_resumed"] = report.bytes_resumed;
  out["files_present"] = report.files_present;
  out["files_verified"] = report.files_verified;
  out["signatures"] = Json::array();
  for (const auto& one : report.signatures)
    out["signatures"].push_back(
        {{"repo_id", one.repo.str()},
         {"variant", one.variant},
         {"outcome", to_string(one.result.outcome)},
         {"reason", one.result.reason.empty() ? Json() : Json(one.result.reason)},
         {"is_receipt", one.is_receipt},
         {"signer", one.result.signature ? Json(ops::signer_name(*one.result.signature)) : Json()}});
  out["requests"] = report.counters.requests;
  out["connections"] = report.counters.connections;
  out["bundle"] = bundle_json(packed);
  return printed(out);
}

}  // namespace kernels::app
