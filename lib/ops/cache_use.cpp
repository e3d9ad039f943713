#include "cache_use.h"

#include <chrono>
#include <thread>

namespace kernels::ops {

static std::filesystem::path place_of(const cache::Layout& layout, const RepoId& repo) {
  return layout.root() / ".locks" / repo.folder() / "in-use.lock";
}

CacheUse CacheUse::shared(const cache::Layout& layout, const RepoId& repo, const std::stop_token& stop) {
  constexpr std::chrono::milliseconds kPause{50};
  constexpr int kMostPauses = 200;
  CacheUse out;
  std::error_code ignored;
  std::filesystem::create_directories(place_of(layout, repo).parent_path(), ignored);
  for (int i = 0; i < kMostPauses && !stop.stop_requested(); ++i) {
    auto [outcome, lock] = FileLock::try_lock(place_of(layout, repo), FileLock::Kind::shared);
    out.lock_ = std::move(lock);
    if (outcome != FileLock::Outcome::held_by_another) break;
    std::this_thread::sleep_for(kPause);
  }
  return out;
}

std::optional<CacheUse> CacheUse::exclusive(const cache::Layout& layout, const RepoId& repo) {
  std::error_code ignored;
  std::filesystem::create_directories(place_of(layout, repo).parent_path(), ignored);
  auto [outcome, lock] = FileLock::try_lock(place_of(layout, repo));
  if (outcome == FileLock::Outcome::held_by_another) return std::nullopt;
  CacheUse out;
  out.lock_ = std::move(lock);
  return out;
}

}  // namespace kernels::ops
