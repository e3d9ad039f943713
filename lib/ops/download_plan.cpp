#include <algorithm>
#include <set>

#include "kernels/base/file.h"
#include "kernels/cache/verified.h"
#include "kernels/ops/coverage.h"
#include "kernels/ops/download.h"

namespace kernels::ops {

static std::vector<std::string> variant_names(const LockedKernel& kernel) {
  std::vector<std::string> names;
  for (const auto& variant : kernel.variants)
    names.push_back(variant.name);
  return names;
}

static void choose_for_targets(const std::vector<Target>& targets, KernelChoice& out) {
  auto names = resolve::parse_variant_names(variant_names(*out.kernel));
  std::set<std::string> chosen;
  for (const auto& target : targets) {
    auto decisions = resolve::decide(names.valid, target);
    if (!decisions.empty() && decisions.front().accepted()) {
      chosen.insert(decisions.front().variant.name());
      continue;
    }
    out.decisions = std::move(decisions);
    out.target = target.name;
    out.advice = resolve::nearest_changes({locked_variants(*out.kernel)}, 0, target);
    return;
  }
  out.variants.assign(chosen.begin(), chosen.end());
}

static void choose_named(const std::vector<std::string>& wanted, KernelChoice& out) {
  auto names = variant_names(*out.kernel);
  for (const auto& name : wanted) {
    bool known = std::ranges::find(names, name) != names.end();
    (known ? out.variants : out.unknown).push_back(name);
  }
}

std::vector<KernelChoice> choose_variants(const Lock& lock, const VariantChoice& choice) {
  std::vector<KernelChoice> out;
  for (const auto& kernel : lock.kernels) {
    KernelChoice item;
    item.kernel = &kernel;
    if (choice.kind == VariantChoice::Kind::all)
      item.variants = variant_names(kernel);
    else if (choice.kind == VariantChoice::Kind::named)
      choose_named(choice.names, item);
    else
      choose_for_targets(choice.targets, item);
    out.push_back(std::move(item));
  }
  return out;
}

/// What one blob needs: nothing, a look at its bytes, or to be fetched.
static void plan_blob(const std::string& blobs, const cache::VerifiedRecord& record,
                      const LockedKernel& kernel, const FileEntry& file, DownloadPlan& plan) {
  // A link in the place of a blob could lead to other bytes tomorrow: it is replaced.
  auto stamp = plain_file_stamp((blobs + file.blob.str()).c_str());
  auto item = [&] { return FetchItem{.repo = kernel.repo, .commit = kernel.commit, .file = file}; };
  if (!stamp || stamp->size != file.size) {
    plan.fetch_bytes += file.size;
    plan.fetch.push_back(item());
    return;
  }
  ++plan.present_files;
  plan.present_bytes += file.size;
  if (!record.is_verified(file.blob, *stamp)) plan.unchecked.push_back(item());
}

DownloadPlan plan_download(const cache::Layout& layout, const std::vector<KernelChoice>& choices) {
  DownloadPlan plan;
  std::set<std::pair<std::string_view, std::string_view>> seen;  // repository and blob
  for (const auto& choice : choices) {
    const auto& kernel = *choice.kernel;
    DownloadPlan::Kernel item{.kernel = &kernel, .files = {}};
    auto record = cache::VerifiedRecord::load(layout, kernel.repo);
    auto blobs = layout.blobs(kernel.repo).string() + "/";
    for (const auto& variant : kernel.variants) {
      if (std::ranges::find(choice.variants, variant.name) == choice.variants.end()) continue;
      for (const auto& file : variant.files) {
        item.files.push_back(file);
        if (seen.emplace(kernel.repo.str(), file.blob.str()).second)
          plan_blob(blobs, record, kernel, file, plan);
      }
    }
    plan.kernels.push_back(std::move(item));
  }
  return plan;
}

void add_to_plan(const cache::Layout& layout, const LockedKernel& kernel, const std::vector<FileEntry>& files,
                 DownloadPlan& plan) {
  const auto record = cache::VerifiedRecord::load(layout, kernel.repo);
  const auto blobs = layout.blobs(kernel.repo).string() + "/";
  const auto is_same = [&](const FileEntry& file) {
    return std::ranges::any_of(plan.fetch, [&](const auto& item) {
      return item.repo == kernel.repo && item.file.blob == file.blob;
    });
  };
  for (auto& item : plan.kernels) {
    if (item.kernel != &kernel) continue;
    for (const auto& file : files) {
      item.files.push_back(file);
      if (!is_same(file)) plan_blob(blobs, record, kernel, file, plan);
    }
  }
}

}  // namespace kernels::ops
