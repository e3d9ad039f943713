#include <algorithm>
#include <array>

#include "kernels/cache/layout.h"
#include "kernels/ops/check.h"

#include "check_files.h"
#include "check_judge.h"
#include "inspect_variant.h"
#include "listing.h"
#include "variant_content.h"
#include "variant_digest.h"
#include "variant_signature.h"

// Checking kernels that no project has locked: on the Hub, in a folder, a single library.

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

/// Compares a local variant with the digest in its metadata: other bytes, missing and unknown files.
void check_digest(CheckRow& row, VariantContent& content, const InspectedVariant& inspected) {
  for (const auto& file : content.files()) {
    ++row.files;
    row.bytes += file.size;
  }
  bool has_digest = inspected.metadata && inspected.metadata->digest_algorithm;
  if (has_digest) {
    apply_digest(row, compare_with_digest(content, *inspected.metadata));
    return judge_files(row, kTheDigest);
  }
  for (const auto& path : content.strange())
    row.damaged.push_back(path + " (a link or a special file)");
  if (!row.damaged.empty()) return judge_files(row, "a variant has");
  row.items.push_back({.aspect = Aspect::files,
                       .state = State::unknown,
                       .brief = "no digest",
                       .text = "the metadata holds no digest to compare the files with",
                       .hint = {}});
}

struct Subject {
  std::string kernel;
  std::string revision;
  std::string commit;
  std::vector<std::string> names;
};

enum class Verify { digest, digest_if_any, nothing, file };

class KernelChecker {
 public:
  explicit KernelChecker(const CheckRequest& request) : request_(request) {}

  /// `open` gives the content of one variant.
  template <class Open>
  Status check(const Subject& subject, const std::string& module, Verify verify, const Open& open) {
    std::map<std::string, Entry> entries;
    for (const auto& target : request_.targets) {
      auto row = decide_row(subject.kernel, subject.names, target);
      row.revision = subject.revision;
      row.commit = subject.commit;
      if (!row.variant.empty()) {
        auto [entry, is_new] = entries.try_emplace(row.variant);
        if (is_new) {
          auto content = open(row.variant);
          if (!content) return std::unexpected(std::move(content).error());
          entry->second.content = std::move(*content);
          entry->second.inspected =
              inspect_variant(*entry->second.content, row.variant, module, WithFunctions::no);
        }
        auto chosen = row.decisions.front().variant;
        judge(row, target, chosen, entry->second, verify);
      }
      conclude(row);
      report.rows.push_back(std::move(row));
    }
    return {};
  }

  /// One library without a variant's name: what it is built for is guessed from what it holds.
  Status check_file(const fs::path& file) {
    auto content = file_content(file);
    if (!content) return std::unexpected(std::move(content).error());
    Entry entry{.content = std::move(*content), .inspected = {}};
    entry.inspected = inspect_variant(*entry.content, {}, {}, WithFunctions::no);
    const auto& library = entry.inspected.libraries.front();
    if (!library.facts)
      return fail(Error(Errc::no_match, "`" + file.string() + "` cannot be read: " + library.failure));
    auto chosen = guess_variant(*library.facts);
    for (const auto& target : request_.targets) {
      CheckRow row;
      row.kernel = file.string();
      row.target = target.name;
      row.variant = "(file)";
      row.files = 1;
      row.bytes = library.size;
      judge(row, target, chosen, entry, Verify::file);
      conclude(row);
      report.rows.push_back(std::move(row));
    }
    return {};
  }

  CheckReport report;

 private:
  struct Entry {
    std::unique_ptr<VariantContent> content;
    InspectedVariant inspected;
    std::optional<verify::VariantVerification> signature = {};
  };

  static Variant guess_variant(const inspect::LibraryFacts& facts) {
    Variant out;
    out.framework = facts.tvm_ffi_functions.empty() ? Framework::torch : Framework::tvm_ffi;
    out.os = facts.kind == inspect::FileKind::mach_o    ? "darwin"
             : facts.kind == inspect::FileKind::windows ? "windows"
                                                        : "linux";
    if (facts.elf) out.cpu = inspect::cpu_name(facts.elf->machine);
    bool is_cuda = !facts.gpu.containers.empty();
    bool is_amd = std::ranges::find(facts.gpu.foreign, inspect::ForeignCode::amd) != facts.gpu.foreign.end();
    out.backend.kind = is_cuda ? BackendKind::cuda : is_amd ? BackendKind::rocm : BackendKind::cpu;
    return out;
  }

  void judge(CheckRow& row, const Target& target, const Variant& chosen, Entry& entry, Verify verify) {
    bool has_digest = entry.inspected.metadata && entry.inspected.metadata->digest_algorithm;
    if (verify == Verify::digest || (verify == Verify::digest_if_any && has_digest))
      check_digest(row, *entry.content, entry.inspected);
    bool asks = request_.signatures.policy() != SignaturePolicy::off && verify != Verify::file;
    if (asks && !entry.signature)
      entry.signature = verify_variant(*entry.content, request_.signatures,
                                       verify == Verify::digest ? WithDigest::yes : WithDigest::no);
    bool is_here = target.name.starts_with(Target{}.name);
    judge_content(row, {.target = target,
                        .chosen = chosen,
                        .inspected = entry.inspected,
                        .signatures = request_.signatures.policy(),
                        .signature = entry.signature ? &*entry.signature : nullptr,
                        .are_files_compared = verify == Verify::digest,
                        .python_packages = is_here ? &request_.python_packages : nullptr,
                        .name_functions = [&](const InspectedLibrary& library, const auto& containers) {
                          return functions_in(*entry.content, library, containers, kMostFunctions,
                                              kMostImageBytes);
                        }});
  }

  const CheckRequest& request_;
};

/// Other versions may serve a target that this one does not.
void add_advice(CheckReport& report, const std::vector<resolve::VersionVariants>& versions, std::size_t asked,
                const CheckRequest& request) {
  for (std::size_t i = 0; i < report.rows.size(); ++i)
    if (report.rows[i].verdict == Verdict::no_variant || report.rows[i].verdict == Verdict::would_not)
      report.rows[i].advice = resolve::nearest_changes(versions, asked, request.targets[i]);
}

std::vector<FileEntry> files_of(const Listing& listing, const std::string& variant) {
  std::vector<FileEntry> out;
  auto prefix = "build/" + variant + "/";
  for (const auto& file : listing.files)
    if (file.path.str().starts_with(prefix) && !file.path.is_bytecode()) out.push_back(file);
  return out;
}

/// What is on the Hub is not verified; what the cache holds is, as for a lock.
Status judge_listed_files(CheckReport& report, const cache::Layout& layout, const RepoId& repo,
                          const Listing& listing, const std::stop_token& stop) {
  LockedKernel kernel{.repo = repo,
                      .requirement = Requirement::of_revision(listing.commit.str()),
                      .commit = listing.commit,
                      .ref = listing.named.name,
                      .asked_for = std::nullopt,
                      .hub_name = {},
                      .variants = {}};
  FileChecker checker(layout, Rehash::changed_files);
  auto is_here = [&](const CheckRow& row) {
    return is_cached(layout, repo, listing.commit, listing.files, row.variant);
  };
  for (const auto& row : report.rows)
    if (!row.variant.empty() && is_here(row))
      checker.look(kernel,
                   {.name = row.variant, .files = files_of(listing, row.variant), .metadata = std::nullopt});
  if (auto finished = checker.finish(stop); !finished) return finished;
  for (auto& row : report.rows) {
    if (row.variant.empty() || row.item(Aspect::files) != nullptr) continue;
    bool here = is_here(row);
    for (const auto& file : files_of(listing, row.variant)) {
      ++row.files;
      row.bytes += file.size;
      if (here && checker.state(kernel, file) != FileState::good) row.damaged.push_back(file.path.str());
    }
    if (here)
      judge_files(row, "the Hub");
    else
      row.items.push_back(
          {.aspect = Aspect::files,
           .state = State::none,
           .brief = "on the Hub",
           .text = std::to_string(row.files) + " files on the Hub, which were not downloaded or verified",
           .hint = {}});
    conclude(row);
  }
  return {};
}

}  // namespace

Result<CheckReport> check_repository(const QueryInputs& inputs, const RepoId& repo,
                                     const RevisionChoice& choice, const CheckRequest& request,
                                     const std::stop_token& stop) {
  using Scope = ListingScope;
  auto listings = list_revisions(
      inputs, repo, choice, {.versions = Scope::Versions::all, .metadata = Scope::WithMetadata::none}, stop);
  if (!listings) return std::unexpected(std::move(listings).error());
  auto found = std::ranges::find_if(*listings, [](const Listing& item) { return item.named.asked; });
  if (found == listings->end()) return fail(Errc::not_found, "`" + repo.str() + "` has no such revision");
  const auto& listing = *found;
  cache::Layout layout(inputs.settings.cache, inputs.settings.state);
  HubSession session(inputs.settings, inputs.user_agent, stop);
  Subject subject{.kernel = repo.str(),
                  .revision = listing.named.name,
                  .commit = listing.commit.str(),
                  .names = variant_folders(listing.files)};
  KernelChecker checker(request);
  auto done = checker.check(
      // Offline nobody lists what should be there but the kernel itself.
      subject, module_of(repo), inputs.settings.offline ? Verify::digest_if_any : Verify::nothing,
      [&](const std::string& name) -> Result<std::unique_ptr<VariantContent>> {
        if (inputs.settings.offline || is_cached(layout, repo, listing.commit, listing.files, name))
          return folder_content(layout.snapshot(repo, listing.commit) / "build" / name);
        return hub_content(session, repo, listing.commit, listing.files, name);
      });
  if (!done) return std::unexpected(std::move(done).error());
  auto judged = judge_listed_files(checker.report, layout, repo, listing, stop);
  if (!judged) return std::unexpected(std::move(judged).error());
  checker.report.fetched = session.counters;
  std::vector<resolve::VersionVariants> versions;
  for (const auto& item : *listings)
    versions.push_back(declared_variants(item));
  add_advice(checker.report, versions, static_cast<std::size_t>(found - listings->begin()), request);
  for (auto& row : checker.report.rows)
    row.repo = repo;
  return std::move(checker.report);
}

Result<CheckReport> check_path(const fs::path& path, const CheckRequest& request,
                               const std::stop_token& stop) {
  KernelChecker checker(request);
  std::error_code code;
  Status done;
  if (!fs::is_directory(path, code)) {
    done = checker.check_file(path);
  } else if (auto name = variant_folder_name(path); !name.empty()) {
    Subject subject{.kernel = path.string(), .revision = {}, .commit = {}, .names = {name}};
    done =
        checker.check(subject, {}, Verify::digest, [&](const std::string&) { return folder_content(path); });
  } else {
    auto build = build_folder(path);
    if (!build) return std::unexpected(std::move(build).error());
    auto names = local_names(*build);
    if (!names) return std::unexpected(std::move(names).error());
    Subject subject{.kernel = path.string(), .revision = {}, .commit = {}, .names = *names};
    done = checker.check(subject, {}, Verify::digest,
                         [&](const std::string& variant) { return folder_content(*build / variant); });
    if (auto versions = local_variants(path); done && versions)
      add_advice(checker.report, {*versions}, 0, request);
  }
  if (!done) return std::unexpected(std::move(done).error());
  if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
  return std::move(checker.report);
}

}  // namespace kernels::ops
