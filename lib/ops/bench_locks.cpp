#include "kernels/ops/bench_locks.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/cache/snapshot.h"

#include "bench_ready.h"

namespace kernels::ops {

namespace fs = std::filesystem;

bool looks_like_lock(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '[';
}

Result<LockFiles> load_lock(const fs::path& file) {
  auto text = read_file(file, 64U << 20U);
  if (!text) return fail(std::move(text).error());
  auto pins = parse_lock(*text, "`" + file.string() + "`");
  if (!pins) return fail(std::move(pins).error().as(Errc::invalid_argument));
  LockFiles out{.folder = file.parent_path(),
                .lock_text = std::move(*text),
                .pins = std::move(*pins),
                .sum = std::nullopt};
  auto beside = file;
  auto sum_text = read_file(beside.replace_extension(".sum"), 256U << 20U);
  if (!sum_text) return out;
  auto sum = parse_sum(*sum_text, "`" + beside.string() + "`");
  if (sum && sum->lock_sha256 == sha256_hex(out.lock_text)) out.sum = std::move(sum->lock);
  return out;
}

namespace {

/// A kernel by its repository, and which of several of that it is.
using Name = std::pair<RepoId, std::size_t>;

struct Version {
  Commit commit;
  std::size_t index;  ///< in the lock
};

std::vector<std::pair<Name, Version>> names_in(const LockFiles& files) {
  std::vector<std::pair<Name, Version>> out;
  std::map<RepoId, std::size_t> seen;
  auto add = [&](const RepoId& repo, const Commit& commit) {
    out.push_back({{repo, seen[repo]++}, {.commit = commit, .index = out.size()}});
  };
  if (files.sum)
    for (const auto& kernel : files.sum->kernels)
      add(kernel.repo, kernel.commit);
  else
    for (const auto& pin : files.pins.pins)
      add(pin.repo, pin.commit);
  return out;
}

const Version* find(const std::vector<std::pair<Name, Version>>& names, const Name& name) {
  auto found = std::ranges::find(names, name, &std::pair<Name, Version>::first);
  return found == names.end() ? nullptr : &found->second;
}

/// The kernels of one lock, each resolved for the machine.
class Side {
 public:
  static Result<Side> open(const cache::Layout& layout, const LockFiles& files, const Target& target,
                           const std::stop_token& stop) {
    auto kernels = ready_kernels(layout, files, target, stop);
    if (!kernels) return fail(std::move(kernels).error());
    return Side(layout, std::move(*kernels));
  }

  Result<BenchTarget> at(const Name& name, const Version& version) const {
    const auto& kernel = kernels_.at(version.index);
    if (kernel.target) return *kernel.target;
    auto files = cache::list_snapshot_files(layout_, name.first, version.commit);
    if (files && !files->empty()) return fail(*kernel.problem);
    return fail(
        Error(Errc::not_found,
              "`" + name.first.str() + "` at " + version.commit.str().substr(0, 12) + " is not in the cache")
            .with_hint("run `kernels download` in a folder that has this lock as its `kernels.lock`"));
  }

 private:
  Side(const cache::Layout& layout, std::vector<ReadyKernel> kernels)
      : layout_(layout), kernels_(std::move(kernels)) {}
  cache::Layout layout_;
  std::vector<ReadyKernel> kernels_;
};

}  // namespace

Result<LockChanges> compare_locks(const cache::Layout& layout, const LockFiles& before,
                                  const LockFiles& after, const Target& target, const std::stop_token& stop) {
  auto old_names = names_in(before);
  auto new_names = names_in(after);
  auto old_side = Side::open(layout, before, target, stop);
  if (!old_side) return fail(std::move(old_side).error());
  auto new_side = Side::open(layout, after, target, stop);
  if (!new_side) return fail(std::move(new_side).error());
  LockChanges out;
  for (const auto& [name, version] : old_names)
    if (find(new_names, name) == nullptr) out.removed.push_back(name.first.str());
  for (const auto& [name, version] : new_names) {
    const auto* old = find(old_names, name);
    if (old != nullptr && old->commit == version.commit) {
      out.same_commit.push_back(name.first.str());
      continue;
    }
    auto is = new_side->at(name, version);
    if (!is) return fail(std::move(is).error().while_doing("looking up the new lock"));
    if (old == nullptr) {
      out.added.push_back(std::move(*is));
      continue;
    }
    auto was = old_side->at(name, *old);
    if (!was) return fail(std::move(was).error().while_doing("looking up the old lock"));
    auto is_bytes = variant_fingerprint(is->folder);
    auto was_bytes = variant_fingerprint(was->folder);
    if (is_bytes && was_bytes && *is_bytes == *was_bytes && is->variant == was->variant)
      out.same_bytes.push_back(name.first.str());
    else
      out.changed.push_back({.before = std::move(*was), .after = std::move(*is)});
  }
  return out;
}

namespace {

bool is_wanted(const bench::Workload& workload, const bench::FunctionSpec& function,
               const bench::BenchOptions& options) {
  return (workload.functions.empty() || std::ranges::count(workload.functions, function.name) > 0) &&
         (options.by_hand || workload.name.find(options.workload) != std::string::npos);
}

Result<std::vector<bench::Contender>> contenders_of(const BenchTarget& target, const std::string& title,
                                                    const bench::BenchOptions& options) {
  auto measurable = bench::open_measurable(target.folder);
  if (!measurable)
    return fail(std::move(measurable).error().while_doing("measuring `" + target.kernel + "`"));
  if (options.by_hand) {
    auto workload = bench::to_workload(*options.by_hand, measurable->file);
    if (!workload) return fail(std::move(workload).error());
    measurable->file.workloads = {std::move(*workload)};
  }
  std::vector<bench::Contender> out;
  for (const auto& function : measurable->file.functions) {
    if (!options.function.empty() && function.name != options.function) continue;
    bench::Contender contender{.name = title + " " + function.name,
                               .library = measurable->library,
                               .function = function,
                               .probes = measurable->file.probes,
                               .workloads = {}};
    for (const auto& workload : measurable->file.workloads)
      if (is_wanted(workload, function, options)) contender.workloads.push_back(workload);
    bool is_filtered = !options.workload.empty() || options.by_hand;
    if (!is_filtered || !contender.workloads.empty()) out.push_back(std::move(contender));
  }
  return out;
}

}  // namespace

Result<std::vector<VersionPair>> version_pairs(const ChangedKernel& kernel,
                                               const bench::BenchOptions& options) {
  auto before = contenders_of(kernel.before, "old", options);
  if (!before) return fail(std::move(before).error());
  auto after = contenders_of(kernel.after, "new", options);
  if (!after) return fail(std::move(after).error());
  std::vector<VersionPair> out;
  for (auto& contender : *before)
    out.push_back({.contenders = {std::move(contender)}, .is_new = {false}});
  for (auto& contender : *after) {
    auto partner = std::ranges::find_if(out, [&](const VersionPair& pair) {
      return pair.contenders.front().function.name == contender.function.name;
    });
    if (partner == out.end()) partner = out.insert(out.end(), VersionPair{});
    partner->contenders.push_back(std::move(contender));
    partner->is_new.push_back(true);
  }
  return out;
}

}  // namespace kernels::ops
