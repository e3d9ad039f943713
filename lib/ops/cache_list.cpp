#include <algorithm>
#include <set>

#include <sys/stat.h>

#include "kernels/model/file_entry.h"
#include "kernels/ops/cache_care.h"

#include "cache_walk.h"

namespace kernels::ops {

namespace fs = std::filesystem;

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> out;
  std::error_code code;
  if (fs::is_symlink(folder, code)) return out;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    out.push_back(*it);
  std::ranges::sort(out);
  return out;
}

void count_blobs(const cache::Layout& layout, CachedRepository& out) {
  for (const auto& entry : entries_of(layout.blobs(out.repo))) {
    auto name = entry.path().filename().string();
    struct stat info{};
    if (::lstat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (name.ends_with(".incomplete")) ++out.unfinished;
    if (!BlobId::parse(name)) continue;
    ++out.blobs;
    out.bytes += static_cast<std::uint64_t>(info.st_size);
    auto read = std::chrono::system_clock::from_time_t(info.st_atim.tv_sec);
    out.last_used = std::max(out.last_used.value_or(read), read);
  }
}

static CachedRepository summary_of(const cache::Layout& layout, const RepoId& repo) {
  CachedRepository out{.repo = repo, .refs = {}, .variants = {}, .last_used = std::nullopt};
  for (const auto& ref : cache::list_refs(layout, repo))
    out.refs.push_back(ref.name);
  std::set<std::string> variants;
  for (const auto& commit : cache::list_snapshots(layout, repo)) {
    ++out.snapshots;
    for (const auto& entry : entries_of(layout.snapshot(repo, commit) / "build"))
      if (std::error_code code; !entry.is_symlink(code) && entry.is_directory(code))
        variants.insert(entry.path().filename().string());
  }
  out.variants.assign(variants.begin(), variants.end());
  count_blobs(layout, out);
  return out;
}

std::vector<CachedRepository> list_cache(const cache::Layout& layout) {
  std::vector<CachedRepository> out;
  auto repositories = cache::list_repositories(layout);
  if (!repositories) return out;
  for (const auto& repo : *repositories)
    out.push_back(summary_of(layout, repo));
  return out;
}

}  // namespace kernels::ops
