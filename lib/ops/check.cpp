#include "kernels/ops/check.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/ops/coverage.h"
#include "kernels/ops/trust.h"

#include "check_files.h"
#include "check_judge.h"
#include "inspect_variant.h"
#include "variant_content.h"
#include "variant_digest.h"
#include "variant_signature.h"

namespace kernels::ops {

namespace {

const LockedVariant* find_variant(const LockedKernel& kernel, const std::string& name) {
  auto found = std::ranges::find(kernel.variants, name, &LockedVariant::name);
  return found == kernel.variants.end() ? nullptr : &*found;
}

CheckRow row_of(const LockedKernel& kernel, const Target& target) {
  std::vector<std::string> names;
  for (const auto& variant : kernel.variants)
    names.push_back(variant.name);
  auto row = decide_row(kernel.repo.str(), names, target);
  row.repo = kernel.repo;
  row.revision = kernel.ref;
  row.commit = kernel.commit.str();
  if (row.variant.empty()) row.advice = resolve::nearest_changes({locked_variants(kernel)}, 0, target);
  return row;
}

/// Why the lock trusts the publisher, and whether that still holds.
CheckItem publisher_item(const LockedKernel& kernel, const Project* project) {
  auto judged = judge_trust(kernel, project);
  const char* brief = kernel.trust == TrustSource::hub       ? "Hub"
                      : kernel.trust == TrustSource::project ? "project"
                                                             : "trust = true";
  return {.aspect = Aspect::publisher,
          .state = judged.holds ? State::good : State::bad,
          .brief = judged.holds ? brief : "untrusted",
          .text = std::move(judged.text),
          .hint = std::move(judged.hint)};
}

void take_files(CheckRow& row, const LockedKernel& kernel, const LockedVariant& variant,
                const FileChecker& checker) {
  for (const auto& file : variant.files) {
    ++row.files;
    row.bytes += file.size;
    auto state = checker.state(kernel, file);
    if (state == FileState::missing) row.missing.push_back(file.path.str());
    if (state == FileState::damaged) row.damaged.push_back(file.path.str());
  }
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
    if (pin.repo != row.repo || pin.commit.str() != row.commit) continue;
    for (const auto& [name, hash] : pin.variant_hashes)
      if (name == variant.name && variant_hash(variant.files, "build/" + name) != hash && row.damaged.empty())
        row.damaged.push_back("build/" + name);
  }
}

bool is_complete(const CheckRow& row) {
  return row.missing.empty() && row.damaged.empty();
}

/// What lies in the variant's folder beside the locked files: Python would import it all the same.
void take_unlocked(CheckRow& row, const LockedVariant& variant, const VariantContent& content) {
  auto prefix = "build/" + variant.name + "/";
  std::set<std::string> locked;
  for (const auto& file : variant.files)
    locked.insert(file.path.str());
  for (const auto& file : content.files())
    if (!locked.contains(prefix + file.path)) row.damaged.push_back(prefix + file.path + " (unknown)");
  for (const auto& path : content.strange())
    row.damaged.push_back(prefix + path + " (a link or a special file)");
}

/// The verified files of a variant against the digest that its publisher wrote.
void take_digest(CheckRow& row, const LockedVariant& variant, VariantContent& content,
                 const InspectedVariant& inspected) {
  if (!inspected.metadata || !inspected.metadata->digest_algorithm) return;
  apply_digest(row, compare_with_digest(content, *inspected.metadata, KnownBlobs(variant)));
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

/// What the chosen variants hold, each read once, however many targets chose it.
class Contents {
 public:
  explicit Contents(const cache::Layout& layout) : layout_(layout) {}

  struct Entry {
    std::unique_ptr<VariantContent> content;
    InspectedVariant inspected;
    std::optional<verify::VariantVerification> signature;
  };

  Entry* find(const LockedKernel& kernel, const std::string& variant) {
    auto folder = layout_.snapshot(kernel.repo, kernel.commit) / "build" / variant;
    auto [entry, is_new] = entries_.try_emplace(folder.string());
    if (is_new) {
      auto content = folder_content(folder);
      if (!content) return nullptr;
      entry->second.inspected =
          inspect_variant(**content, variant, module_of(kernel.repo), WithFunctions::no);
      entry->second.content = std::move(*content);
    }
    return entry->second.content ? &entry->second : nullptr;
  }

 private:
  cache::Layout layout_;
  std::map<std::string, Entry> entries_;
};

/// Verifies the signatures of variants whose files are as locked, each once, and keeps receipts.
class Signatures {
 public:
  Signatures(cache::Layout layout, const CheckRequest& request)
      : layout_(std::move(layout)), request_(request) {}

  void verify(const LockedKernel& kernel, const LockedVariant& variant, Contents::Entry& entry) {
    if (entry.signature || request_.signatures.policy() == SignaturePolicy::off) return;
    auto [record, is_new] = records_.try_emplace(kernel.repo);
    if (is_new) record->second = cache::VerifiedRecord::load(layout_, kernel.repo);
    cache::VerifiedRecord empty;
    bool anew = request_.rehash == Rehash::all_files;
    entry.signature =
        verify_cached(*entry.content, kernel, variant, request_.signatures, anew ? empty : record->second)
            .result;
  }

  void keep_receipts() const {
    for (const auto& [repo, record] : records_) {
      if (!record.changed()) continue;
      if (auto saved = record.save(layout_, repo); !saved) log(LogLevel::info, describe(saved.error()));
    }
  }

 private:
  cache::Layout layout_;
  const CheckRequest& request_;
  std::map<RepoId, cache::VerifiedRecord> records_;
};

void judge_row(CheckRow& row, const Target& target, const CheckRequest& request, Contents::Entry& entry) {
  bool is_here = target.name.starts_with(Target{}.name);
  judge_content(row, {.target = target,
                      .chosen = row.decisions.front().variant,
                      .inspected = entry.inspected,
                      .signatures = request.signatures.policy(),
                      .signature = entry.signature ? &*entry.signature : nullptr,
                      .python_packages = is_here ? &request.python_packages : nullptr,
                      .name_functions = [&](const InspectedLibrary& library, const auto& containers) {
                        return functions_in(*entry.content, library, containers, kMostFunctions,
                                            kMostImageBytes);
                      }});
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
  FileChecker checker(layout, request.rehash);
  struct Place {
    const LockedKernel* kernel;
    const Target* target;
  };
  std::vector<Place> places;
  for (const auto& target : request.targets)
    for (const auto& kernel : lock.kernels) {
      report.rows.push_back(row_of(kernel, target));
      if (files.sum) report.rows.back().items.push_back(publisher_item(kernel, request.project));
      places.push_back({.kernel = &kernel, .target = &target});
      if (const auto* variant = find_variant(kernel, report.rows.back().variant))
        checker.look(kernel, *variant);
    }
  events(Note{"checking files"});
  if (auto finished = checker.finish(stop); !finished) return fail(std::move(finished).error());
  Contents contents(layout);
  Signatures signatures(layout, request);
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    auto& row = report.rows[i];
    const auto& [kernel, target] = places[i];
    if (const auto* variant = find_variant(*kernel, row.variant)) {
      take_files(row, *kernel, *variant, checker);
      apply_variant_hashes(row, files.pins, *variant);
      // What is in damaged files is somebody else's; what is missing cannot be read.
      auto* entry = is_complete(row) ? contents.find(*kernel, row.variant) : nullptr;
      if (entry != nullptr) take_unlocked(row, *variant, *entry->content);
      bool is_as_locked = is_complete(row);
      if (is_as_locked && entry != nullptr) take_digest(row, *variant, *entry->content, entry->inspected);
      judge_files(row, is_as_locked && !is_complete(row) ? kTheDigest : "the lock");
      if (is_complete(row) && entry != nullptr) {
        signatures.verify(*kernel, *variant, *entry);
        judge_row(row, *target, request, *entry);
      }
    }
    conclude(row);
  }
  signatures.keep_receipts();
  return report;
}

}  // namespace kernels::ops
