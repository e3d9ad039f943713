#include "view_inspect.h"

#include <algorithm>
#include <map>
#include <utility>

#include "json_values.h"
#include "text.h"

namespace kernels::app {

using inspect::Compression;
using inspect::GpuContainer;
using inspect::GpuImage;

namespace {

/// A name as far as a person reads it.
std::string shown(const std::string& name) {
  constexpr std::size_t kLongest = 300;
  return name.size() <= kLongest ? plain(name) : plain(name.substr(0, kLongest)) + "…";
}

/// Names of a library can be many and long; JSON has all of them.
std::string listed(const std::vector<std::string>& words, const char* between = " ") {
  constexpr std::size_t kMost = 200;
  std::string out;
  for (std::size_t i = 0; i < std::min(kMost, words.size()); ++i)
    out += (out.empty() ? "" : between) + shown(words[i]);
  if (words.size() > kMost) out += between + ("and " + std::to_string(words.size() - kMost) + " more");
  return out;
}

using Rows = std::vector<std::vector<std::string>>;

void add_row(Rows& rows, const char* label, std::string text) {
  if (!text.empty()) rows.push_back({"   ", label, std::move(text)});
}

std::string yes_no(const std::optional<bool>& value, const char* yes, const char* no) {
  return !value ? "" : *value ? yes : no;
}

std::string layer_text(const ops::InspectedLayer& layer) {
  std::string out = plain(layer.name);
  if (layer.forward) {
    std::string parameters;
    for (const auto& name : *layer.forward)
      if (name != "self") parameters += (parameters.empty() ? "" : ", ") + plain(name);
    out += "(" + parameters + ")";
  }
  std::vector<std::string> facts;
  for (auto& fact : {yes_no(layer.has_backward, "backward", "no backward"),
                     yes_no(layer.can_torch_compile, "torch.compile", "no torch.compile"),
                     std::string(layer.in_native ? "C++" : "")})
    if (!fact.empty()) facts.push_back(fact);
  return facts.empty() ? out : out + ": " + listed(facts, ", ");
}

const char* compression_name(Compression compression) {
  return compression == Compression::zstd ? "zstd" : compression == Compression::lz4 ? "lz4" : "none";
}

/// The images of a container, short: equal containers have equal texts.
std::string images_text(const GpuContainer& container) {
  std::string out;
  for (const auto& image : container.images) {
    out += (out.empty() ? "" : " ") + image.arch();
    if (image.kind == inspect::CodeKind::ptx) out += "(PTX " + image.version.str() + ")";
  }
  if (out.empty()) out = "nothing";
  if (container.is_relocatable)
    out += ", only for the device linker";
  else if (container.is_empty())
    out += ", without functions";
  return out;
}

/// Containers with the same images, in the order in which the first of each comes.
Rows container_rows(const inspect::GpuCode& code) {
  std::vector<std::pair<std::string, std::size_t>> groups;
  for (const auto& container : code.containers) {
    auto text = images_text(container);
    auto found = std::ranges::find(groups, text, &std::pair<std::string, std::size_t>::first);
    if (found == groups.end())
      groups.emplace_back(std::move(text), 1);
    else
      ++found->second;
  }
  Rows rows;
  for (const auto& [text, count] : groups)
    add_row(rows, rows.empty() ? "GPU code" : "", counted(count, "container") + ": " + text);
  return rows;
}

std::string versions_text(const inspect::LibraryFacts& facts) {
  std::vector<std::string> out;
  for (const auto& need : facts.versions)
    // A library's own versions have its name; that it is needed stands elsewhere.
    if (!need.version.empty() && need.family.find('.') == std::string::npos)
      out.push_back(need.family + " " + need.version);
  return listed(out, ", ");
}

std::string loading_text(const ElfFile& file) {
  std::vector<std::string> out;
  if (file.bind_now) out.emplace_back("resolves everything at once (BIND_NOW)");
  if (file.run_path) out.push_back("run path " + *file.run_path);
  if (file.old_r_path) out.push_back("rpath " + *file.old_r_path);
  return listed(out, ", ");
}

std::string foreign_text(const inspect::LibraryFacts& facts) {
  std::string out;
  for (auto code : facts.gpu.foreign)
    out += (out.empty() ? "" : ", ") + inspect::to_string(code) + " code is in it, which is not read";
  return out;
}

Rows finding_rows(const std::vector<inspect::Finding>& findings) {
  Rows rows;
  for (const auto& finding : findings) {
    auto weight = inspect::to_string(finding.weight);
    rows.push_back(
        {"   ", weight, plain(finding.text) + (finding.hint.empty() ? "" : "\n" + plain(finding.hint))});
  }
  return rows;
}

void append(Rows& rows, Rows more) {
  rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::string heading(const ops::InspectedLibrary& library) {
  std::string out = plain(library.path) + ": " + human_bytes(library.size);
  if (!library.facts) return out + ", cannot be read: " + plain(library.failure);
  out += ", " + inspect::to_string(library.facts->kind);
  if (!library.facts->elf) return out;
  auto cpu = inspect::cpu_name(library.facts->elf->machine);
  out += " " + (cpu.empty() ? "machine " + std::to_string(library.facts->elf->machine) : cpu);
  return library.policy.empty() ? out : out + ", " + library.policy;
}

/// Instances of one template are one entry; JSON has their full names.
Rows function_rows(const ops::InspectedLibrary& library) {
  constexpr std::size_t kMostRows = 2000;
  Rows rows;
  for (std::size_t i = 0; i < library.functions.size() && rows.size() < kMostRows; ++i) {
    std::map<std::string, std::size_t> names;
    for (const auto& name : library.functions[i])
      ++names[inspect::short_function_name(name)];
    std::vector<std::string> entries;
    for (const auto& [name, count] : names)
      entries.push_back(count == 1 ? name : name + " (" + std::to_string(count) + " instances)");
    add_row(rows, ("container " + std::to_string(i)).c_str(), listed(entries, "\n"));
  }
  return rows;
}

std::string library_text(const ops::InspectedLibrary& library) {
  std::string out = "  " + heading(library) + "\n";
  if (!library.facts) return out;
  Rows rows;
  const auto& facts = *library.facts;
  add_row(rows, "tvm-ffi", listed(facts.tvm_ffi_functions));
  add_row(rows, "Python", listed(facts.python_modules));
  if (facts.elf) {
    add_row(rows, "needs", listed(facts.elf->needed));
    add_row(rows, "versions", versions_text(facts));
    add_row(rows, "loading", loading_text(*facts.elf));
  }
  append(rows, container_rows(facts.gpu));
  if (facts.gpu.containers.empty())
    add_row(rows, "GPU code", facts.gpu.foreign.empty() ? "none found" : foreign_text(facts));
  append(rows, function_rows(library));
  append(rows, finding_rows(library.findings));
  return out + table_within(kTableColumns, rows);
}

std::string declared_text(const Metadata& metadata) {
  std::string out = metadata.backend;
  if (!metadata.archs.empty()) out += ", for " + listed(metadata.archs);
  if (!metadata.python_depends.empty())
    out += "; needs the Python packages " + listed(metadata.python_depends, ", ");
  return out;
}

std::string variant_text(const ops::InspectedVariant& variant) {
  std::string out;
  Rows rows;
  if (!variant.name.empty()) {
    out += variant.name + ": " + counted(variant.files, "file") + ", " + human_bytes(variant.bytes) +
           (variant.variant ? "" : " (not the name of a build variant)") + "\n";
    if (variant.metadata) add_row(rows, "declares", declared_text(*variant.metadata));
    if (!variant.metadata_failure.empty())
      add_row(rows, "declares", "cannot be read: " + plain(variant.metadata_failure));
    add_row(rows, "functions", listed(variant.python_functions));
    for (std::size_t i = 0; i < variant.layers.size(); ++i)
      add_row(rows, i == 0 ? "layers" : "", layer_text(variant.layers[i]));
    if (!variant.run_time_compilers.empty())
      add_row(rows, "compiles", "GPU code at run time, with " + listed(variant.run_time_compilers, ", "));
    add_row(rows, "signature", variant.is_signed ? "there is one; it was not verified" : "none");
    append(rows, finding_rows(variant.findings));
  }
  out += table_within(kTableColumns, rows);
  for (const auto& library : variant.libraries)
    out += (out.empty() ? "" : "\n") + library_text(library);
  return out;
}

Json findings_json(const std::vector<inspect::Finding>& findings) {
  Json out = Json::array();
  for (const auto& finding : findings)
    out.push_back({{"weight", inspect::to_string(finding.weight)},
                   {"rule", finding.rule},
                   {"text", finding.text},
                   {"hint", or_null(finding.hint)}});
  return out;
}

const char* kind_name(inspect::CodeKind kind) {
  switch (kind) {
    case inspect::CodeKind::sass:
      return "sass";
    case inspect::CodeKind::ptx:
      return "ptx";
    case inspect::CodeKind::lto:
      return "lto";
    case inspect::CodeKind::other:
      return "unknown";
  }
  return "";
}

Json image_json(const GpuImage& image, std::size_t index, const GpuContainer& container) {
  bool is_ptx = image.kind == inspect::CodeKind::ptx;
  return {{"container", index},
          {"kind", kind_name(image.kind)},
          {"arch", image.arch()},
          {"compression", compression_name(image.compression)},
          {"bytes", image.payload.length},
          {"uncompressed_bytes", image.uncompressed_size},
          {"ptx_version", is_ptx ? Json(image.version.str()) : Json(nullptr)},
          {"relocatable", container.is_relocatable || image.is_relocatable},
          {"empty", image.content == inspect::ImageContent::empty}};
}

Json gpu_code_json(const inspect::GpuCode& code) {
  Json out = Json::array();
  for (std::size_t i = 0; i < code.containers.size(); ++i)
    for (const auto& image : code.containers[i].images)
      out.push_back(image_json(image, i, code.containers[i]));
  return out;
}

void add_elf(Json& out, const ElfFile& file) {
  out["cpu"] = or_null(inspect::cpu_name(file.machine));
  out["soname"] = or_null(file.soname);
  out["needed"] = file.needed;
  out["run_path"] = or_null(file.run_path);
  out["rpath"] = or_null(file.old_r_path);
  out["bind_now"] = file.bind_now;
  out["executable_stack"] = file.executable_stack == ExecutableStack::yes;
  out["writable_code"] = file.has_writable_code;
}

Json library_json(const ops::InspectedLibrary& library, const std::string& variant) {
  Json out = Json::object();
  out["path"] = library.path;
  out["variant"] = or_null(variant);
  out["bytes"] = library.size;
  out["error"] = or_null(library.failure);
  if (!library.facts) return out;
  const auto& facts = *library.facts;
  out["kind"] = inspect::to_string(facts.kind);
  out["manylinux"] = or_null(library.policy);
  if (facts.elf) add_elf(out, *facts.elf);
  out["versions"] = Json::array();
  for (const auto& need : facts.versions)
    out["versions"].push_back({{"family", need.family},
                               {"version", or_null(need.version)},
                               {"library", need.library},
                               {"symbol", or_null(need.symbol)}});
  out["tvm_ffi_functions"] = facts.tvm_ffi_functions;
  out["python_modules"] = facts.python_modules;
  out["gpu_code"] = gpu_code_json(facts.gpu);
  out["gpu_code_complete"] = facts.gpu.is_complete;
  out["foreign_code"] = Json::array();
  for (auto code : facts.gpu.foreign)
    out["foreign_code"].push_back(inspect::to_string(code));
  if (!library.functions.empty()) out["gpu_functions"] = library.functions;
  out["findings"] = findings_json(library.findings);
  return out;
}

Json layer_json(const ops::InspectedLayer& layer) {
  return {{"name", layer.name},
          {"python", layer.in_python},
          {"native", layer.in_native},
          {"has_backward", or_null(layer.has_backward)},
          {"can_torch_compile", or_null(layer.can_torch_compile)},
          {"forward", or_null(layer.forward)}};
}

Json variant_json(const ops::InspectedVariant& variant) {
  Json out = Json::object();
  out["variant"] = or_null(variant.name);
  out["files"] = variant.files;
  out["bytes"] = variant.bytes;
  out["signed"] = variant.is_signed;
  out["backend"] = variant.metadata ? or_null(variant.metadata->backend) : Json(nullptr);
  out["declared_archs"] = variant.metadata ? Json(variant.metadata->archs) : Json(nullptr);
  out["python_depends"] = variant.metadata ? Json(variant.metadata->python_depends) : Json(nullptr);
  out["python_functions"] = variant.python_functions;
  out["layers"] = Json::array();
  for (const auto& layer : variant.layers)
    out["layers"].push_back(layer_json(layer));
  out["run_time_compilers"] = variant.run_time_compilers;
  out["findings"] = findings_json(variant.findings);
  return out;
}

std::string fetched_text(const ops::InspectReport& report) {
  if (report.fetched.requests == 0) return {};
  std::uint64_t bytes = 0;
  for (const auto& variant : report.variants)
    bytes += variant.bytes;
  return "\nread " + human_bytes(report.fetched.bytes) + " of " + human_bytes(bytes) + " from the Hub\n";
}

}  // namespace

std::string inspect_text(const ops::InspectReport& report) {
  std::string out;
  if (!report.repo_id.empty())
    out = report.repo_id + " " + report.revision + " (" + report.commit.substr(0, 12) + ")\n\n";
  for (const auto& variant : report.variants)
    out += (&variant == report.variants.data() ? "" : "\n") + variant_text(variant);
  if (!report.left_out.empty())
    out += "\nnot looked into: " + listed(report.left_out, ", ") + " (--all-variants, --variant NAME)\n";
  return out + fetched_text(report);
}

std::string inspect_json(const ops::InspectReport& report) {
  Json out = Json::object();
  out["schema"] = "kernels.inspect/1";
  if (report.repo_id.empty()) {
    out["path"] = report.path;
  } else {
    out["repo_id"] = report.repo_id;
    out["revision"] = report.revision;
    out["commit"] = report.commit;
  }
  out["files"] = Json::array();
  for (const auto& variant : report.variants)
    for (const auto& library : variant.libraries)
      out["files"].push_back(library_json(library, variant.name));
  out["variants"] = Json::array();
  for (const auto& variant : report.variants)
    if (!variant.name.empty()) out["variants"].push_back(variant_json(variant));
  out["left_out"] = report.left_out;
  out["requests"] = report.fetched.requests;
  out["bytes_fetched"] = report.fetched.bytes;
  return printed(out);
}

}  // namespace kernels::app
