#include "view_kernel.h"

#include "kernels/base/joined.h"

#include "json_values.h"
#include "text.h"
#include "view_advice.h"

namespace kernels::app {

/// What the advice is for.
static std::string advice_heading(const ops::RevisionVariants& revision) {
  if (revision.decisions.empty() || !revision.decisions.front().accepted()) return "To make one fit";
  return revision.uncovered.empty() ? "To have a compiled build" : "To have code for every GPU";
}

static std::string accepted_text(const ops::RevisionVariants& revision, bool preferred) {
  if (!preferred) return "compatible";
  std::string out = "compatible, preferred";
  for (const auto& capability : revision.uncovered)
    out += ", no code for capability " + capability.str();
  return out;
}

static std::string revision_text(const ops::RevisionVariants& revision, Shown shown) {
  std::vector<std::vector<std::string>> rows;
  bool first = true;
  for (const auto& decision : revision.decisions) {
    if (shown == Shown::compatible && !decision.accepted()) continue;
    auto word = decision.accepted() ? accepted_text(revision, first) : decision.reason;
    first = false;
    rows.push_back({"  " + plain(decision.variant.name()), plain(word)});
  }
  for (const auto& name : revision.invalid)
    if (shown == Shown::all) rows.push_back({"  " + plain(name), "not a build variant"});
  std::string out = rows.empty() ? "  none\n" : table_within(100, rows);
  return out + advice_text(revision.advice, advice_heading(revision), "  ");
}

std::string variants_text(const ops::RepositoryVariants& variants, const Target& target,
                          const VariantsView& view) {
  std::string name = variants.repo_id.empty() ? variants.path : variants.repo_id;
  std::string out = name + " for " + target.display() + "\n";
  for (const auto& revision : variants.revisions) {
    if (revision.version)
      out += "\nVersion " + std::to_string(*revision.version) + ":\n";
    else if (!revision.name.empty())
      out += "\nRevision " + revision.name + ":\n";
    else
      out += "\n";
    out += revision_text(revision, view.shown);
  }
  return out;
}

static Json revision_json(const ops::RevisionVariants& revision, const VariantsView& view, bool is_folder) {
  Json out = Json::object();
  out["version"] = revision.version ? Json(*revision.version) : Json(nullptr);
  out["revision"] = is_folder ? Json(nullptr) : Json(revision.revision);
  out["variants"] = Json::array();
  bool first = true;
  for (const auto& decision : revision.decisions) {
    if (view.shown == Shown::compatible && !decision.accepted()) continue;
    Json item = Json::object();
    item["variant"] = decision.variant.name();
    item["compatible"] = decision.accepted();
    item["preferred"] = decision.accepted() && first;
    item["reason"] = decision.accepted() ? Json(nullptr) : Json(decision.reason);
    first = false;
    out["variants"].push_back(std::move(item));
  }
  out["invalid"] = revision.invalid;
  if (view.explained == Explained::no) return out;
  out["uncovered_capabilities"] = Json::array();
  for (const auto& capability : revision.uncovered)
    out["uncovered_capabilities"].push_back(capability.str());
  out["advice"] = advice_json(revision.advice);
  return out;
}

std::string variants_json(const ops::RepositoryVariants& variants, const Target& target,
                          const VariantsView& view) {
  bool is_folder = variants.repo_id.empty();
  Json out = Json::object();
  out["schema"] = "kernels.variants/1";
  out[is_folder ? "path" : "repo_id"] = is_folder ? variants.path : variants.repo_id;
  out["target"] = target.display();
  out["revisions"] = Json::array();
  for (const auto& revision : variants.revisions)
    out["revisions"].push_back(revision_json(revision, view, is_folder));
  return printed(out);
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
  const auto depends = joined(metadata.python_depends);
  const auto backends = joined(info.backends);
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
  return printed(out);
}

}  // namespace kernels::app
