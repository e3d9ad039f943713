#include "check_files.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/cache/blob_store.h"
#include "kernels/cache/snapshot.h"

namespace kernels::ops {

/// Hashes files on as many threads as there are cores, the largest first: whoever is free takes the next one.
class FileChecker::Hashing {
 public:
  void add(const std::filesystem::path& path, const FileEntry& file, std::function<void(bool)> then) {
    jobs_.push_back({.path = path, .file = file, .then = std::move(then)});
  }

  Status run(const std::stop_token& stop) {
    std::ranges::stable_sort(jobs_, std::greater<>(), [](const Job& job) { return job.file.size; });
    {
      std::vector<std::jthread> threads;
      auto cores = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMostThreads);
      for (std::size_t i = 1; i < std::min(cores, jobs_.size()); ++i)
        threads.emplace_back([this, &stop] { work(stop); });
      work(stop);
    }
    if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
    if (failure_) return fail(*failure_);
    return {};
  }

 private:
  static constexpr std::size_t kMostThreads = 64;
  struct Job {
    std::filesystem::path path;
    FileEntry file;
    std::function<void(bool)> then;
  };

  void work(const std::stop_token& stop) {
    for (auto i = next_++; i < jobs_.size() && !stop.stop_requested(); i = next_++) {
      auto verified = cache::verify_blob(jobs_[i].path, jobs_[i].file.blob, jobs_[i].file.size);
      std::lock_guard guard(mutex_);
      if (!verified && verified.error().code() == Errc::io && !failure_) failure_ = verified.error();
      jobs_[i].then(verified.has_value());
    }
  }

  std::vector<Job> jobs_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::optional<Error> failure_;
};

FileChecker::FileChecker(const cache::Layout& layout, Rehash rehash) : layout_(layout), rehash_(rehash) {}
FileChecker::~FileChecker() = default;

void FileChecker::look(const LockedKernel& kernel, const LockedVariant& variant) {
  auto [record, is_new] = records_.try_emplace(kernel.repo);
  if (is_new) record->second = cache::VerifiedRecord::load(layout_, kernel.repo);
  auto snapshot = layout_.snapshot(kernel.repo, kernel.commit);
  bool stays_inside =
      cache::check_no_links(layout_, kernel.repo, snapshot / "build" / variant.name).has_value();
  for (const auto& file : variant.files) {
    auto path = snapshot / file.path.str();
    auto [state, is_first] = states_.try_emplace({snapshot.string(), file.path.str()}, FileState::good);
    if (!is_first) continue;
    auto stamp = file_stamp(path);
    bool is_link = std::filesystem::is_symlink(path);
    bool leads_out =
        !stays_inside || (is_link && !plain_file_stamp(layout_.blob(kernel.repo, file.blob).c_str()));
    if (!stamp || leads_out || !cache::has_snapshot_entry(layout_, kernel.repo, kernel.commit, file)) {
      // A FIFO or a folder in its place is more than a file that lacks.
      auto place = is_link ? layout_.blob(kernel.repo, file.blob) : path;
      bool is_something = std::filesystem::exists(std::filesystem::symlink_status(place));
      state->second = stamp || is_something ? FileState::damaged : FileState::missing;
      continue;
    }
    bool known = rehash_ == Rehash::changed_files && is_link && stamp->size == file.size &&
                 record->second.is_verified(file.blob, *stamp);
    if (known) continue;
    if (!hashing_) hashing_ = std::make_unique<Hashing>();
    hashing_->add(path, file,
                  [this, &slot = state->second, repo = kernel.repo, blob = file.blob, is_link](bool good) {
                    slot = good ? FileState::good : FileState::damaged;
                    if (good && is_link) verified_.emplace_back(repo, blob);
                  });
  }
}

Status FileChecker::finish(const std::stop_token& stop) {
  if (!hashing_) return {};
  if (auto hashed = hashing_->run(stop); !hashed) return hashed;
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
