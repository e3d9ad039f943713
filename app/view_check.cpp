#include "view_check.h"

#include <nlohmann/json.hpp>

#include "text.h"
#include "view_layers.h"

namespace kernels::app {

using Json = nlohmann::ordered_json;

static std::string list(const std::vector<MajorMinor>& versions) {
  std::string out;
  for (const auto& version : versions)
    out += (out.empty() ? "" : ", ") + version.str();
  return out;
}

static std::string arch_text(const ops::CheckRow& row) {
  if (row.archs.empty()) return row.archs_known ? "-" : "unknown";
  std::string out;
  for (const auto& arch : row.archs)
    out += (out.empty() ? "" : " ") + arch;
  return out;
}

/// One line below the table for each row that is not well: what, where, what to do.
static std::string complaint(const ops::CheckRow& row) {
  std::string head = row.repo.str() + " for " + row.target + ": ";
  switch (row.verdict) {
    case ops::Verdict::runs:
      return {};
    case ops::Verdict::no_variant: {
      std::string out = head + "no variant fits\n";
      for (const auto& decision : row.decisions)
        out += "  " + decision.variant.name() + ": " + decision.reason + "\n";
      if (row.decisions.empty()) out += "  the cache has no variant of it; run `kernels download`\n";
      return out;
    }
    case ops::Verdict::incomplete:
      return head + counted(row.missing.size(), "file") + " missing in the cache, the first is " +
             row.missing.front() + "; run `kernels download`\n";
    case ops::Verdict::damaged:
      return head + counted(row.damaged.size(), "file") +
             " with other bytes than were locked, the first is " + row.damaged.front() +
             "; run `kernels download` to fetch it again\n";
    case ops::Verdict::wrong_arch:
      return head + "built for " + arch_text(row) + ", which does not run on capability " +
             list(row.uncovered) + "\n";
  }
  return {};
}

static std::string explain_row(const ops::CheckRow& row) {
  std::string out = row.repo.str() + " for " + row.target + ":\n";
  for (const auto& decision : row.decisions)
    out += "  " + decision.variant.name() + ": " +
           (decision.accepted() ? (decision.variant.name() == row.variant ? "chosen" : "fits")
                                : decision.reason) +
           "\n";
  return out;
}

std::string check_text(const ops::CheckReport& report, const std::vector<Target>& targets, Explain explain) {
  std::string out;
  for (const auto& target : targets)
    out += target.name + ": " + target.display() + "\n";
  std::vector<std::vector<std::string>> rows = {
      {"KERNEL", "COMMIT", "TARGET", "VARIANT", "FILES", "GPU CODE", "VERDICT"}};
  for (const auto& row : report.rows)
    rows.push_back({row.repo.str(), row.commit.abbreviated(), row.target,
                    row.variant.empty() ? "-" : row.variant,
                    std::to_string(row.files) + ", " + human_bytes(row.bytes), arch_text(row),
                    ops::to_string(row.verdict)});
  out += "\n" + table(rows);
  std::string complaints;
  for (const auto& row : report.rows)
    complaints +=
        explain == Explain::yes && row.verdict == ops::Verdict::runs ? explain_row(row) : complaint(row);
  if (!complaints.empty()) out += "\n" + complaints;
  std::size_t good = 0;
  for (const auto& row : report.rows)
    good += row.verdict == ops::Verdict::runs ? 1 : 0;
  out += "\n" + std::to_string(good) + " of " + counted(report.rows.size(), "kernel") + " would run\n";
  auto layers = layers_text(report);
  return layers.empty() ? out : out + "\n" + layers;
}

static Json row_json(const ops::CheckRow& row) {
  Json out = Json::object();
  out["repo_id"] = row.repo.str();
  out["commit"] = row.commit.str();
  out["target"] = row.target;
  out["verdict"] = ops::to_string(row.verdict);
  out["variant"] = row.variant.empty() ? Json(nullptr) : Json(row.variant);
  out["files"] = row.files;
  out["bytes"] = row.bytes;
  out["missing"] = row.missing;
  out["damaged"] = row.damaged;
  out["archs"] = row.archs;
  out["archs_known"] = row.archs_known;
  out["uncovered_capabilities"] = Json::array();
  for (const auto& capability : row.uncovered)
    out["uncovered_capabilities"].push_back(capability.str());
  out["decisions"] = Json::array();
  for (const auto& decision : row.decisions)
    out["decisions"].push_back({{"variant", decision.variant.name()},
                                {"compatible", decision.accepted()},
                                {"reason", decision.accepted() ? Json(nullptr) : Json(decision.reason)}});
  return out;
}

std::string check_json(const ops::CheckReport& report, const std::vector<Target>& targets) {
  Json out = Json::object();
  out["schema"] = "kernels.check/1";
  out["good"] = report.good();
  out["targets"] = Json::array();
  for (const auto& target : targets)
    out["targets"].push_back({{"name", target.name}, {"description", target.display()}});
  out["kernels"] = Json::array();
  for (const auto& row : report.rows)
    out["kernels"].push_back(row_json(row));
  out["layers"] = locked_layers_json(report.layers);
  out["layer_decisions"] = layer_decisions_json(report);
  out["warnings"] = report.warnings;
  return out.dump(2) + "\n";
}

}  // namespace kernels::app
