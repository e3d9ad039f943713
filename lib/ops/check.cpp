#include "kernels/ops/check.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/cache/blob_store.h"
#include "kernels/cache/snapshot.h"
#include "kernels/cache/verified.h"
#include "kernels/ops/download.h"

namespace kernels::ops {

std::string to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::runs:
      return "runs";
    case Verdict::no_variant:
      return "no variant";
    case Verdict::incomplete:
      return "incomplete";
    case Verdict::damaged:
      return "damaged";
    case Verdict::wrong_arch:
      return "wrong architecture";
  }
  return {};
}

bool CheckReport::good() const {
  return std::ranges::all_of(rows, [](const CheckRow& row) { return row.verdict == Verdict::runs; });
}

bool CheckReport::has_fallback() const {
  return std::ranges::any_of(layer_rows, [](const LayerRows& on_target) {
    return !std::ranges::all_of(on_target.decisions, &resolve::LayerDecision::runs_kernel);
  });
}

namespace {

enum class FileState { good, missing, damaged };
using FileKey = std::pair<std::string, std::string>;  // snapshot folder, path

/// Hashes files on the threads of a BlobStore and waits for all of them.
class Hashing {
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

class Checker {
 public:
  Checker(const cache::Layout& layout, Rehash rehash) : layout_(layout), rehash_(rehash), hashing_(layout) {}

  /// Looks at the files of a kernel's variant; those that must be hashed are handed to the threads.
  void look(const LockedKernel& kernel, const LockedVariant& variant) {
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
      hashing_.add(path, file,
                   [this, &slot = state->second, repo = kernel.repo, blob = file.blob, is_link](bool good) {
                     slot = good ? FileState::good : FileState::damaged;
                     if (good && is_link) verified_.emplace_back(repo, blob);
                   });
    }
  }

  Status finish(const std::stop_token& stop) {
    if (auto waited = hashing_.wait(stop); !waited) return waited;
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

  FileState state(const LockedKernel& kernel, const FileEntry& file) const {
    return states_.at({layout_.snapshot(kernel.repo, kernel.commit).string(), file.path.str()});
  }

 private:
  cache::Layout layout_;
  Rehash rehash_;
  std::map<RepoId, cache::VerifiedRecord> records_;
  std::map<FileKey, FileState> states_;
  std::vector<std::pair<RepoId, BlobId>> verified_;
  Hashing hashing_;
};

const LockedVariant* find_variant(const LockedKernel& kernel, const std::string& name) {
  auto found = std::ranges::find(kernel.variants, name, &LockedVariant::name);
  return found == kernel.variants.end() ? nullptr : &*found;
}

CheckRow decide_row(const LockedKernel& kernel, const Target& target) {
  CheckRow row{.repo = kernel.repo,
               .requirement = kernel.requirement,
               .commit = kernel.commit,
               .target = target.name,
               .variant = {},
               .decisions = {},
               .missing = {},
               .damaged = {},
               .archs = {},
               .uncovered = {}};
  std::vector<std::string> names;
  for (const auto& variant : kernel.variants)
    names.push_back(variant.name);
  row.decisions = resolve::decide(resolve::parse_variant_names(names).valid, target);
  if (!row.decisions.empty() && row.decisions.front().accepted())
    row.variant = row.decisions.front().variant.name();
  return row;
}

void judge_archs(CheckRow& row, const LockedVariant& variant, const Target& target) {
  bool uses_gpu = row.decisions.front().variant.backend.kind == BackendKind::cuda &&
                  row.decisions.front().variant.framework != Framework::noarch;
  if (!uses_gpu || !variant.metadata) {
    row.archs_known = !uses_gpu;
    return;
  }
  row.archs = variant.metadata->archs;
  for (const auto& capability : target.capabilities) {
    auto covered = resolve::archs_cover(row.archs, capability);
    if (covered == resolve::Covered::no) row.uncovered.push_back(capability);
    if (covered == resolve::Covered::unknown) row.archs_known = false;
  }
}

void judge_files(CheckRow& row, const LockedKernel& kernel, const LockedVariant& variant,
                 const Checker& checker) {
  for (const auto& file : variant.files) {
    ++row.files;
    row.bytes += file.size;
    auto state = checker.state(kernel, file);
    if (state == FileState::missing) row.missing.push_back(file.path.str());
    if (state == FileState::damaged) row.damaged.push_back(file.path.str());
  }
}

Verdict verdict_of(const CheckRow& row) {
  if (row.variant.empty()) return Verdict::no_variant;
  if (!row.damaged.empty()) return Verdict::damaged;
  if (!row.missing.empty()) return Verdict::incomplete;
  if (!row.uncovered.empty()) return Verdict::wrong_arch;
  return Verdict::runs;
}

std::optional<Metadata> read_cached_metadata(const cache::Layout& layout, const LockedKernel& kernel,
                                             const LockedVariant& variant) {
  auto path = "build/" + variant.name + "/metadata.json";
  auto text = read_file(layout.snapshot(kernel.repo, kernel.commit) / path, 8 << 20);
  if (!text) return std::nullopt;
  auto metadata = parse_metadata(*text, "`" + path + "`");
  if (!metadata) return std::nullopt;
  return std::move(*metadata);
}

/// A lock made from the pins and what the cache holds of them.
Lock lock_from_cache(const cache::Layout& layout, const LockPins& pins, std::vector<std::string>& warnings) {
  Lock lock;
  for (const auto& pin : pins.pins) {
    auto requirement = pin.requirement.value_or(Requirement::of_revision(pin.commit.str()));
    LockedKernel kernel{.repo = pin.repo,
                        .requirement = requirement,
                        .commit = pin.commit,
                        .ref = pin.commit.str(),
                        .asked_for = std::nullopt,
                        .hub_name = {},
                        .variants = {}};
    auto files = cache::list_snapshot_files(layout, pin.repo, pin.commit).value_or(std::vector<FileEntry>{});
    std::map<std::string, LockedVariant> variants;
    for (auto& file : files) {
      if (file.path.depth() < 2 || !file.path.str().starts_with("build/")) continue;
      auto name = file.path.str().substr(6, file.path.str().find('/', 6) - 6);
      variants[name].name = name;
      variants[name].files.push_back(std::move(file));
    }
    for (auto& [name, variant] : variants) {
      variant.metadata = read_cached_metadata(layout, kernel, variant);
      for (const auto& [locked, hash] : pin.variant_hashes)
        if (locked == name && variant_hash(variant.files, "build/" + name) != hash)
          warnings.push_back("`" + name + "` of `" + pin.repo.str() +
                             "` does not have the hash in kernels.lock");
      kernel.variants.push_back(std::move(variant));
    }
    lock.kernels.push_back(std::move(kernel));
  }
  return lock;
}

/// A variant whose files do not add up to the locked hash is damaged as a whole.
void apply_variant_hashes(CheckRow& row, const LockPins& pins, const LockedVariant& variant) {
  for (const auto& pin : pins.pins) {
    if (pin.repo != row.repo || pin.commit != row.commit) continue;
    for (const auto& [name, hash] : pin.variant_hashes)
      if (name == variant.name && variant_hash(variant.files, "build/" + name) != hash && row.damaged.empty())
        row.damaged.push_back("build/" + name);
  }
}

Status decide_layers(CheckReport& report, const Lock& lock, const CheckRequest& request) {
  report.layers = lock.layers;
  if (lock.layers.empty() || request.modes.empty()) return {};
  for (const auto& target : request.targets) {
    auto decisions = resolve::decide_layers(lock, target, request.modes);
    if (!decisions) return fail(std::move(decisions).error());
    report.layer_rows.push_back({.target = target.name, .decisions = std::move(*decisions)});
  }
  return {};
}

}  // namespace

Result<CheckReport> check_lock(const cache::Layout& layout, const LockFiles& files,
                               const CheckRequest& request, const EventSink& events,
                               const std::stop_token& stop) {
  CheckReport report;
  auto lock = files.sum ? *files.sum : lock_from_cache(layout, files.pins, report.warnings);
  if (auto decided = decide_layers(report, lock, request); !decided) return fail(std::move(decided).error());
  if (!files.sum)
    report.warnings.emplace_back(
        "there is no `kernels.sum`: what layers do is not known, and that files are missing can only be told "
        "where `kernels.lock` has hashes; `kernels lock` writes one");
  Checker checker(layout, request.rehash);
  struct Place {
    const LockedKernel* kernel;
    const Target* target;
  };
  std::vector<Place> places;
  for (const auto& target : request.targets)
    for (const auto& kernel : lock.kernels) {
      report.rows.push_back(decide_row(kernel, target));
      places.push_back({.kernel = &kernel, .target = &target});
      if (const auto* variant = find_variant(kernel, report.rows.back().variant))
        checker.look(kernel, *variant);
    }
  events(Note{"checking files"});
  if (auto finished = checker.finish(stop); !finished) return fail(std::move(finished).error());
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    auto& row = report.rows[i];
    if (const auto* variant = find_variant(*places[i].kernel, row.variant)) {
      judge_archs(row, *variant, *places[i].target);
      judge_files(row, *places[i].kernel, *variant, checker);
      apply_variant_hashes(row, files.pins, *variant);
    }
    row.verdict = verdict_of(row);
  }
  return report;
}

}  // namespace kernels::ops
