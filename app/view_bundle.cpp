#include "view_bundle.h"

#include "json_values.h"
#include "text.h"

namespace kernels::app {

static std::size_t variant_count(const ops::BundleContents& contents) {
  std::size_t sum = 0;
  for (const auto& kernel : contents.kernels)
    sum += kernel.variants.size();
  return sum;
}

static std::string summary(const ops::BundleContents& contents) {
  return counted(contents.kernels.size(), "kernel") + ", " + counted(variant_count(contents), "variant") +
         ", " + counted(contents.files, "file") + ", " + human_bytes(contents.file_bytes);
}

static std::string variant_table(const ops::BundleContents& contents) {
  std::vector<std::vector<std::string>> rows = {
      {"KERNEL", "COMMIT", "REF", "VARIANT", "FILES", "SIZE", "SIGNATURE", "TRUSTED BY"}};
  for (const auto& kernel : contents.kernels)
    for (const auto& variant : kernel.variants)
      rows.push_back({kernel.repo.str(), kernel.commit.abbreviated(), plain(kernel.ref), plain(variant.name),
                      std::to_string(variant.files), human_bytes(variant.bytes),
                      variant.is_signed ? "attached" : "none", to_string(kernel.trust)});
  return table(rows);
}

static std::string file_table(const ops::BundleContents& contents) {
  std::vector<std::vector<std::string>> rows = {{"KERNEL", "FILE", "SIZE", "SHA256"}};
  for (const auto& kernel : contents.kernels)
    for (const auto& file : kernel.files)
      rows.push_back(
          {kernel.repo.str(), plain(file.entry.path.str()), std::to_string(file.entry.size), file.sha256});
  return table(rows);
}

std::string bundle_contents_text(const ops::BundleContents& contents, BundleDetail detail) {
  return (detail == BundleDetail::files ? file_table(contents) : variant_table(contents)) + "\n" +
         summary(contents) + "; " + counted(contents.blobs, "different content") + " in " +
         human_bytes(contents.bundle_bytes) + "\n" +
         "This is what the index says, and the lock in the bundle; `kernels bundle verify` reads the rest.\n";
}

static Json kernels_json(const ops::BundleContents& contents) {
  Json out = Json::array();
  for (const auto& kernel : contents.kernels) {
    Json variants = Json::array();
    for (const auto& variant : kernel.variants)
      variants.push_back({{"name", variant.name},
                          {"files", variant.files},
                          {"bytes", variant.bytes},
                          {"has_signature", variant.is_signed}});
    Json files = Json::array();
    for (const auto& file : kernel.files)
      files.push_back({{"path", file.entry.path.str()},
                       {"size", file.entry.size},
                       {"sha256", file.sha256},
                       {"blob", file.entry.blob.str()}});
    out.push_back({{"repo_id", kernel.repo.str()},
                   {"commit", kernel.commit.str()},
                   {"ref", kernel.ref},
                   {"trusted_by", to_string(kernel.trust)},
                   {"variants", std::move(variants)},
                   {"files", std::move(files)}});
  }
  return out;
}

static void add_totals(const ops::BundleContents& contents, Json& out) {
  out["file"] = contents.file;
  out["bundle_bytes"] = contents.bundle_bytes;
  out["blobs"] = contents.blobs;
  out["blob_bytes"] = contents.blob_bytes;
  out["files"] = contents.files;
  out["file_bytes"] = contents.file_bytes;
  out["trusted_root_sha256"] = contents.trusted_root_sha256;
  out["confinement"] = {{"landlock", contents.confinement.landlock},
                        {"seccomp", contents.confinement.seccomp}};
}

std::string bundle_contents_json(const ops::BundleContents& contents, BundleReading reading) {
  Json out = {{"schema", "kernels.bundle-contents/1"}, {"verified", reading == BundleReading::verified}};
  add_totals(contents, out);
  out["kernels"] = kernels_json(contents);
  return printed(out);
}

std::string bundle_verified_text(const ops::BundleContents& contents, std::chrono::milliseconds took) {
  return "Every byte is as the index and the lock in the bundle have it: " + summary(contents) + " (" +
         human_duration(took) + ")\n";
}

std::string bundle_import_text(const ops::BundleImportReport& report, std::chrono::milliseconds took) {
  std::string out;
  for (const auto& kernel : report.contents.kernels) {
    std::string names;
    for (const auto& variant : kernel.variants)
      names += (names.empty() ? "" : ", ") + plain(variant.name);
    out += kernel.repo.str() + " " + kernel.commit.abbreviated() + " (" + plain(kernel.ref) + ")  " + names +
           "\n";
  }
  out += "Imported and verified " + summary(report.contents) + " (" + human_duration(took) + "); ";
  if (report.written_blobs == 0) return out + "all of it was in the cache\n";
  return out + counted(report.written_blobs, "blob") + ", " + human_bytes(report.written_bytes) +
         " new in the cache\n";
}

std::string bundle_import_json(const ops::BundleImportReport& report) {
  Json out = {{"schema", "kernels.import/1"}};
  add_totals(report.contents, out);
  out["written_blobs"] = report.written_blobs;
  out["written_bytes"] = report.written_bytes;
  out["kernels"] = kernels_json(report.contents);
  return printed(out);
}

}  // namespace kernels::app
