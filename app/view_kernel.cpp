#include "view_kernel.h"

#include <nlohmann/json.hpp>

#include "text.h"

namespace kernels::app {

using Json = nlohmann::ordered_json;

static std::string revision_text(const ops::RevisionVariants& revision, Shown shown) {
  std::vector<std::vector<std::string>> rows;
  bool first = true;
  for (const auto& decision : revision.decisions) {
    if (shown == Shown::compatible && !decision.accepted()) continue;
    std::string word = !decision.accepted() ? decision.reason
                       : first              ? "compatible, preferred"
                                            : "compatible";
    first = false;
    rows.push_back({"  " + decision.variant.name(), word});
  }
  std::string out = table(rows);
  for (const auto& name : revision.invalid)
    if (shown == Shown::all) out += "  " + name + "  not a build variant\n";
  return out.empty() ? "  none\n" : out;
}

std::string variants_text(const ops::RepositoryVariants& variants, const Target& target, Shown shown) {
  std::string name = variants.repo_id.empty() ? variants.path : variants.repo_id;
  std::string out = name + " for " + target.display() + "\n";
  for (const auto& revision : variants.revisions) {
    if (revision.version)
      out += "\nVersion " + std::to_string(*revision.version) + ":\n";
    else if (!revision.name.empty())
      out += "\nRevision " + revision.name + ":\n";
    else
      out += "\n";
    out += revision_text(revision, shown);
  }
  return out;
}

static Json revision_json(const ops::RevisionVariants& revision, Shown shown, bool is_folder) {
  Json out = Json::object();
  out["version"] = revision.version ? Json(*revision.version) : Json(nullptr);
  out["revision"] = is_folder ? Json(nullptr) : Json(revision.revision);
  out["variants"] = Json::array();
  bool first = true;
  for (const auto& decision : revision.decisions) {
    if (shown == Shown::compatible && !decision.accepted()) continue;
    Json item = Json::object();
    item["variant"] = decision.variant.name();
    item["compatible"] = decision.accepted();
    item["preferred"] = decision.accepted() && first;
    item["reason"] = decision.accepted() ? Json(nullptr) : Json(decision.reason);
    first = false;
    out["variants"].push_back(std::move(item));
  }
  out["invalid"] = revision.invalid;
  return out;
}

std::string variants_json(const ops::RepositoryVariants& variants, const Target& target, Shown shown) {
  bool is_folder = variants.repo_id.empty();
  Json out = Json::object();
  out["schema"] = "kernels.variants/1";
  out[is_folder ? "path" : "repo_id"] = is_folder ? variants.path : variants.repo_id;
  out["target"] = target.display();
  out["revisions"] = Json::array();
  for (const auto& revision : variants.revisions)
    out["revisions"].push_back(revision_json(revision, shown, is_folder));
  return out.dump(2) + "\n";
}

static std::string or_dash(const std::optional<std::string>& text) {
  return text && !text->empty() ? *text : "-";
}

std::string info_text(const ops::KernelInfo& info) {
  std::string out;
  if (info.repo_id.empty())
    out += "Path: " + info.path + "\n";
  else
    out += "Repository: " + info.repo_id + "\nRevision: " + info.revision + "\n";
  auto metadata = info.metadata.value_or(Metadata{});
  bool known = info.metadata.has_value();
  std::string depends;
  for (const auto& name : metadata.python_depends)
    depends += (depends.empty() ? "" : ", ") + name;
  std::string backends;
  for (const auto& name : info.backends)
    backends += (backends.empty() ? "" : ", ") + name;
  out += "Name: " + or_dash(metadata.name) + "\n";
  out += "Version: " + (known ? std::to_string(metadata.version) : std::string("-")) + "\n";
  out += "Minimum kernels version: " + or_dash(metadata.kernels_minver) + "\n";
  out += "License: " + or_dash(metadata.license) + "\n";
  out += "Upstream: " + or_dash(metadata.upstream) + "\n";
  out += "Source: " + or_dash(metadata.source) + "\n";
  out += "Python dependencies: " + or_dash(depends) + "\n";
  return out + "Backends: " + backends + "\n";
}

std::string info_json(const ops::KernelInfo& info) {
  Json out = Json::object();
  if (info.repo_id.empty()) {
    out["path"] = info.path;
  } else {
    out["repo_id"] = info.repo_id;
    out["revision"] = info.revision;
  }
  auto or_null = [](const std::optional<std::string>& text) { return text ? Json(*text) : Json(nullptr); };
  if (info.metadata) {
    out["name"] = info.metadata->name;
    out["version"] = info.metadata->version;
    out["kernels_minver"] = or_null(info.metadata->kernels_minver);
    out["license"] = info.metadata->license;
    out["upstream"] = or_null(info.metadata->upstream);
    out["source"] = or_null(info.metadata->source);
    out["python_depends"] = info.metadata->python_depends;
  }
  out["backends"] = info.backends;
  return out.dump(2) + "\n";
}

}  // namespace kernels::app
