#include <algorithm>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/ops/cache_care.h"

#include "cache_use.h"
#include "cache_walk.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

/// Names of blobs to which links of snapshots lead.
std::set<std::string> used_blobs(const cache::Layout& layout, const RepoId& repo) {
  std::set<std::string> out;
  std::error_code code;
  for (fs::recursive_directory_iterator it(layout.repository(repo), code), end; !code && it != end;
       it.increment(code)) {
    std::error_code ignored;
    if (it->is_symlink(ignored)) out.insert(fs::read_symlink(it->path(), ignored).filename().string());
  }
  return out;
}

class Pruner {
 public:
  Pruner(const cache::Layout& layout, std::chrono::seconds age, DryRun dry)
      : layout_(layout), age_(age), dry_(dry) {}

  Status prune(const RepoId& repo) {
    // Between the last file of a download and its snapshot nothing names its blobs: it holds this lock.
    auto use = CacheUse::exclusive(layout_, repo);
    if (!use) {
      log(LogLevel::info, "`" + repo.str() + "` is in use by another process and is left alone");
      return {};
    }
    auto used = used_blobs(layout_, repo);
    for (const auto& entry : entries_of(layout_.blobs(repo)))
      if (auto removed = look_at_blob(repo, entry, used); !removed) return removed;
    for (const auto& entry : entries_of(layout_.repository(repo))) {
      std::error_code ignored;
      bool is_left = entry.path().filename().string().starts_with("tmp-") && !entry.is_symlink(ignored) &&
                     entry.is_directory(ignored) && is_old(entry.path());
      if (is_left)
        if (auto removed = remove(repo, entry.path(), 0, "left by a process that was killed"); !removed)
          return removed;
    }
    return {};
  }

  std::vector<PrunedFile> pruned;

 private:
  bool is_old(const fs::path& path) const {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) return false;
    auto touched = std::max(info.st_mtim.tv_sec, info.st_ctim.tv_sec);
    return std::chrono::system_clock::now() - std::chrono::system_clock::from_time_t(touched) >= age_;
  }

  Status look_at_blob(const RepoId& repo, const fs::directory_entry& entry,
                      const std::set<std::string>& used) {
    auto name = entry.path().filename().string();
    auto id = BlobId::parse(name.substr(0, name.find('.')));
    auto stamp = plain_file_stamp(entry.path().c_str());
    if (!id || !stamp || !is_old(entry.path())) return {};
    bool is_unfinished = name.ends_with(".incomplete");
    if (!is_unfinished && (name != id->str() || used.contains(name))) return {};
    // The Python packages hold this one while they fetch, and so do we.
    std::error_code ignored;
    fs::create_directories(layout_.lock(repo, *id).parent_path(), ignored);
    auto [outcome, lock] = FileLock::try_lock(layout_.lock(repo, *id));
    if (outcome == FileLock::Outcome::held_by_another) return {};
    if (is_unfinished) {
      auto [own_outcome, own] = FileLock::try_lock(entry.path());
      if (own_outcome == FileLock::Outcome::held_by_another) return {};
      return remove(repo, entry.path(), stamp->size, "a download that nobody goes on with");
    }
    return remove(repo, entry.path(), stamp->size, "no snapshot has it");
  }

  Status remove(const RepoId& repo, const fs::path& path, std::uint64_t bytes, std::string reason) {
    if (dry_ == DryRun::no) {
      std::error_code code;
      fs::remove_all(path, code);
      if (code) return fail(system_error("remove", path.string(), code.value()));
    }
    pruned.push_back({.repo = repo,
                      .path = path.lexically_relative(layout_.repository(repo)).generic_string(),
                      .bytes = bytes,
                      .reason = std::move(reason)});
    return {};
  }

  cache::Layout layout_;
  std::chrono::seconds age_;
  DryRun dry_;
};

}  // namespace

Result<std::vector<PrunedFile>> prune_cache(const cache::Layout& layout, std::chrono::seconds age,
                                            DryRun dry) {
  Pruner pruner(layout, age, dry);
  for (const auto& repo : cache::list_repositories(layout).value_or(std::vector<RepoId>{}))
    if (auto done = pruner.prune(repo); !done) return fail(std::move(done).error());
  return std::move(pruner.pruned);
}

}  // namespace kernels::ops
