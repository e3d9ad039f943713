#include "download_digests.h"

#include <algorithm>
#include <map>
#include <set>

#include "variant_digest.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

std::string folder_of(const FileEntry& file) {
  auto slash = file.path.str().find('/', 6);
  return slash == std::string::npos ? std::string() : file.path.str().substr(0, slash);
}

/// Blobs of a repository that links of its snapshots name.
std::set<std::string> linked_blobs(const cache::Layout& layout, const RepoId& repo) {
  std::set<std::string> out;
  std::error_code code;
  for (fs::recursive_directory_iterator it(layout.repository(repo) / "snapshots", code), end;
       !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->is_symlink(ignored)) out.insert(fs::read_symlink(it->path(), ignored).filename().string());
  }
  return out;
}

void forget(const cache::Layout& layout, const RepoId& repo, const std::vector<FileEntry>& files,
            const std::set<BlobId>& fetched) {
  auto linked = linked_blobs(layout, repo);
  std::error_code ignored;
  for (const auto& file : files)
    if (fetched.contains(file.blob) && !linked.contains(file.blob.str()))
      fs::remove(layout.blob(repo, file.blob), ignored);
}

Error wrong_variant(const LockedKernel& kernel, const std::string& variant, const std::string& what) {
  return Error(Errc::integrity, "`build/" + variant + "` of `" + kernel.repo.str() + "` at " +
                                    kernel.commit.abbreviated() + " is not what its publisher made: " + what)
      .with_hint(
          "nothing of it was kept; the files are those of the lock, so the repository itself holds "
          "them: report it to the publisher");
}

}  // namespace

Status check_variant_digest(VariantContent& content, const LockedKernel& kernel,
                            const LockedVariant& variant) {
  if (content.find("metadata.json") == nullptr) return {};
  auto text = content.text("metadata.json");
  if (!text) return fail(wrong_variant(kernel, variant.name, text.error().text()));
  auto metadata = parse_metadata(*text, "`metadata.json`");
  if (!metadata) return fail(wrong_variant(kernel, variant.name, metadata.error().text()));
  if (!metadata->digest_algorithm) return {};
  auto findings = compare_with_digest(content, *metadata, KnownBlobs(variant));
  if (findings.good()) return {};
  return fail(wrong_variant(kernel, variant.name, findings.first()));
}

Status check_new_variants(const cache::Layout& layout, const DownloadPlan& plan) {
  std::map<RepoId, std::set<BlobId>> fetched;
  for (const auto& item : plan.fetch)
    fetched[item.repo].insert(item.file.blob);
  for (const auto& item : plan.kernels) {
    const auto& kernel = *item.kernel;
    auto& new_blobs = fetched[kernel.repo];
    std::set<std::string> folders;
    for (const auto& file : item.files)
      if (new_blobs.contains(file.blob) ||
          !cache::has_snapshot_entry(layout, kernel.repo, kernel.commit, file))
        folders.insert(folder_of(file));
    for (const auto& variant : kernel.variants) {
      if (!folders.contains("build/" + variant.name)) continue;
      auto content = blob_content(layout, kernel.repo, variant);
      auto right = check_variant_digest(*content, kernel, variant);
      if (right) continue;
      forget(layout, kernel.repo, item.files, new_blobs);
      return right;
    }
  }
  return {};
}

void forget_fetched(const cache::Layout& layout, const DownloadPlan& plan, const RepoId& repo) {
  std::vector<FileEntry> files;
  std::set<BlobId> blobs;
  for (const auto& item : plan.fetch) {
    if (item.repo != repo) continue;
    files.push_back(item.file);
    blobs.insert(item.file.blob);
  }
  forget(layout, repo, files, blobs);
}

}  // namespace kernels::ops
