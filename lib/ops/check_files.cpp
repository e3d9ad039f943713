#include "check_files.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/cache/blob_store.h"
#include "kernels/cache/snapshot.h"

namespace kernels::ops {

/// Hashes files on the threads of a BlobStore and waits for all of them.
class FileChecker::Hashing {
 public:
  explicit Hashing(const cache::Layout& layout) : store_(layout) {}

  void add(const std::filesystem::path& path, const FileEntry& file, std::function<void(bool)> then) {
    {
      std::lock_guard guard(mutex_);
      ++pending_;
    }
    store_.verify(path, file.blob, file.size, [this, then = std::move(then)](Status status) {
      std::lock_guard guard(mutex_);
      if (!status && status.error().code() == Errc::io && !failure_) failure_ = status.error();
      then(status.has_value());
      --pending_;
      done_.notify_one();
    });
  }

  Status wait(const std::stop_token& stop) {
    std::unique_lock guard(mutex_);
    while (pending_ > 0) {
      if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
      done_.wait_for(guard, std::chrono::milliseconds(100));
    }
    if (failure_) return fail(*failure_);
    return {};
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::size_t pending_ = 0;
  std::optional<Error> failure_;
  cache::BlobStore store_;  // last: its threads end first
};

FileChecker::FileChecker(const cache::Layout& layout, Rehash rehash) : layout_(layout), rehash_(rehash) {}
FileChecker::~FileChecker() = default;

void FileChecker::look(const LockedKernel& kernel, const LockedVariant& variant) {
  auto [record, is_new] = records_.try_emplace(kernel.repo);
  if (is_new) record->second = cache::VerifiedRecord::load(layout_, kernel.repo);
  auto snapshot = layout_.snapshot(kernel.repo, kernel.commit);
  for (const auto& file : variant.files) {
    auto path = snapshot / file.path.str();
    auto [state, is_first] = states_.try_emplace({snapshot.string(), file.path.str()}, FileState::good);
    if (!is_first) continue;
    auto stamp = file_stamp(path);
    if (!stamp || !cache::has_snapshot_entry(layout_, kernel.repo, kernel.commit, file)) {
      state->second = stamp ? FileState::damaged : FileState::missing;
      continue;
    }
    bool is_link = std::filesystem::is_symlink(path);
    bool known = rehash_ == Rehash::changed_files && is_link && stamp->size == file.size &&
                 record->second.is_verified(file.blob, *stamp);
    if (known) continue;
    // Threads cost more to start than a check costs that has nothing to hash.
    if (!hashing_) hashing_ = std::make_unique<Hashing>(layout_);
    hashing_->add(path, file,
                  [this, &slot = state->second, repo = kernel.repo, blob = file.blob, is_link](bool good) {
                    slot = good ? FileState::good : FileState::damaged;
                    if (good && is_link) verified_.emplace_back(repo, blob);
                  });
  }
}

Status FileChecker::finish(const std::stop_token& stop) {
  if (!hashing_) return {};
  if (auto waited = hashing_->wait(stop); !waited) return waited;
  std::set<RepoId> changed;
  for (const auto& [repo, blob] : verified_) {
    records_.at(repo).note(layout_, repo, blob);
    changed.insert(repo);
  }
  for (const auto& repo : changed)
    if (auto saved = records_.at(repo).save(layout_, repo); !saved)
      log(LogLevel::info, describe(saved.error()));
  return {};
}

FileState FileChecker::state(const LockedKernel& kernel, const FileEntry& file) const {
  return states_.at({layout_.snapshot(kernel.repo, kernel.commit).string(), file.path.str()});
}

}  // namespace kernels::ops
