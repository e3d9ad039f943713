#include "kernels/ops/serve.h"

#include <algorithm>
#include <map>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>

#include "kernels/cache/layout.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

/// The folders of a snapshot with the time of their last change: a file that comes or goes changes one.
using FolderTimes = std::vector<std::pair<fs::path, std::int64_t>>;

std::int64_t changed_at(const fs::path& folder) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return -1;
  return info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec;
}

FolderTimes folder_times(const fs::path& root) {
  FolderTimes out = {{root, changed_at(root)}};
  std::error_code code;
  for (fs::recursive_directory_iterator it(root, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored))
      out.emplace_back(it->path(), changed_at(it->path()));
  }
  return out;
}

bool is_unchanged(const FolderTimes& folders) {
  return std::ranges::all_of(folders, [](const auto& item) { return changed_at(item.first) == item.second; });
}

class CacheSource : public hub::RepositorySource {
 public:
  explicit CacheSource(fs::path root) : layout_(std::move(root)) {}

  bool has_repository(const RepoId& repo) const override {
    std::error_code ignored;
    return fs::is_directory(layout_.repository(repo) / "snapshots", ignored);
  }

  bool has_publisher(std::string_view publisher) const override {
    auto repos = cache::list_repositories(layout_);
    return repos && std::ranges::any_of(*repos, [&](const RepoId& repo) {
             return repo.publisher() == publisher && has_repository(repo);
           });
  }

  std::vector<hub::SourceRef> refs(const RepoId& repo) const override {
    std::vector<hub::SourceRef> out;
    // A ref is no proof of a snapshot: Python leaves refs behind when it only looked for a redirect.
    for (auto& ref : cache::list_refs(layout_, repo))
      if (has_commit(repo, ref.commit)) out.push_back({.name = std::move(ref.name), .commit = ref.commit});
    return out;
  }

  bool has_commit(const RepoId& repo, const Commit& commit) const override {
    return changed_at(layout_.snapshot(repo, commit)) >= 0;
  }

  Result<std::shared_ptr<const hub::Listing>> listing(const RepoId& repo,
                                                      const Commit& commit) const override {
    std::pair key{repo, commit};
    {
      std::scoped_lock lock(mutex_);
      auto it = known_.find(key);
      if (it != known_.end() && is_unchanged(it->second.folders)) return it->second.listing;
    }
    // The times come first: a change during the walk then shows at the next look.
    auto folders = folder_times(layout_.snapshot(repo, commit));
    auto files = cache::list_snapshot_files(layout_, repo, commit);
    if (!files) return fail(std::move(files).error());
    auto listing = std::make_shared<const hub::Listing>(std::move(*files));
    std::scoped_lock lock(mutex_);
    constexpr std::size_t kMostListings = 256;
    if (known_.size() >= kMostListings) known_.clear();
    known_.insert_or_assign(key, Known{.folders = std::move(folders), .listing = listing});
    return listing;
  }

  Result<UniqueFd> open(const RepoId& repo, const Commit& commit, const FileEntry& file) const override {
    auto blob = layout_.blob(repo, file.blob);
    UniqueFd fd(::open(blob.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) {  // a plain file in the snapshot, made where links do not work
      auto plain = layout_.snapshot(repo, commit) / file.path.str();
      fd.reset(::open(plain.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
      if (!fd) return fail(system_error("open", plain.string(), errno));
    }
    auto stamp = file_stamp(fd.get());
    if (!stamp || stamp->size != file.size)
      return fail(Errc::integrity, "`" + file.path.str() + "` is not the file that was listed");
    return fd;
  }

 private:
  struct Known {
    FolderTimes folders;
    std::shared_ptr<const hub::Listing> listing;
  };
  cache::Layout layout_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<RepoId, Commit>, Known> known_;
};

}  // namespace

Result<std::unique_ptr<hub::HubServer>> serve(const ServeRequest& request) {
  std::error_code ignored;
  if (!fs::is_directory(request.cache, ignored))
    return fail(Error(Errc::not_found, "there is no cache folder `" + request.cache.string() + "`")
                    .with_hint("fill one with `kernels download` or `kernels import`"));
  return hub::HubServer::start(std::make_shared<CacheSource>(request.cache), request.options);
}

}  // namespace kernels::ops
