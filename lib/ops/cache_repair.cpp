// A repair works on what was found, never on what a link leads to: entries are removed or renamed, and
// nothing is opened for writing. What the Hub still lists at the commit is fetched as in any download; a
// variant that cannot be made whole goes away as a whole.

#include <algorithm>
#include <optional>

#include <unistd.h>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/cache/blob_store.h"
#include "kernels/cache/snapshot.h"
#include "kernels/hub/api.h"
#include "kernels/ops/download.h"
#include "kernels/ops/resolver.h"

#include "cache_walk.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

using Listing = std::map<std::string, FileEntry>;  // by path

class Repairer {
 public:
  Repairer(const CacheVerifyRequest& request, RepositoryFindings& findings, const EventSink& events,
           const std::stop_token& stop)
      : request_(request),
        layout_(request.settings.cache, request.settings.state),
        found_(findings),
        events_(events),
        stop_(stop) {}

  Status run() {
    remove_strangers();
    if (auto listed = list_commits(); !listed) return listed;
    if (auto fetched = fetch(); !fetched) return fetched;
    for (const auto& [blob, problem] : found_.bad_blobs)
      if (auto id = BlobId::parse(blob)) mend_users_of(*id, problem);
    for (const auto& entry : found_.bad_entries)
      if (auto mended = mend(entry); !mended) return mended;
    for (const auto& variant : found_.bad_variants)
      remove_variant(variant.commit.str(), variant.path, variant.problem);
    for (const auto& [name, problem] : found_.bad_refs)
      remove(layout_.repository(found_.repo) / name, problem, "removed; the next download writes it anew");
    return {};
  }

 private:
  void done(std::size_t problem, const std::string& what) {
    auto& text = found_.problems[problem].done;
    if (text.find(what) == std::string::npos) text += (text.empty() ? "" : "; ") + what;
  }

  void remove(const fs::path& path, std::size_t problem, const std::string& what) {
    std::error_code code;
    fs::remove_all(path, code);  // of a link, the link alone
    if (code)
      log(LogLevel::info, "cannot remove `" + path.string() + "`: " + code.message());
    else
      done(problem, what);
  }

  /// What has no place in the cache at all, and a link in the place of one of its folders.
  void remove_strangers() {
    for (std::size_t i = 0; i < found_.problems.size(); ++i) {
      const auto& problem = found_.problems[i];
      bool is_stranger = problem.rule == "folder-link" || problem.rule == "blob-name" ||
                         (problem.rule == "snapshot-name" && std::ranges::count(problem.path, '/') == 1);
      if (is_stranger) remove(layout_.repository(found_.repo) / problem.path, i, "removed");
    }
    for (const auto& [blob, problem] : found_.bad_blobs)
      if (found_.problems[problem].rule == "blob-kind") {
        std::error_code ignored;
        fs::remove_all(layout_.blobs(found_.repo) / blob, ignored);
      }
  }

  std::set<std::string> commits() const {
    std::set<std::string> out;
    for (const auto& entry : found_.bad_entries)
      out.insert(entry.commit.str());
    for (const auto& [blob, problem] : found_.bad_blobs)
      if (auto users = found_.users.find(blob); users != found_.users.end())
        for (const auto& [commit, path] : users->second)
          out.insert(commit);
    return out;
  }

  /// What the Hub says is at each commit. One that it does not know, or a Hub that does not answer, has
  /// nothing.
  Status list_commits() {
    auto asked = commits();
    if (request_.settings.offline || asked.empty()) return {};
    auto client = hub::make_http_client(http_options(request_.settings, request_.user_agent));
    hub::Api api(*client, request_.settings.endpoint, request_.settings.max_retries);
    for (const auto& commit : asked)
      api.build_files(
          found_.repo, *Commit::parse(commit), [this, commit](Result<std::vector<FileEntry>> files) {
            if (!files)
              return events_(
                  Warning{"the Hub cannot be asked for what is missing: " + describe(files.error())});
            for (auto& file : *files)
              listings_[commit].emplace(file.path.str(), file);
          });
    return client->run(stop_);
  }

  const FileEntry* listed(const std::string& commit, const std::string& path) const {
    auto listing = listings_.find(commit);
    if (listing == listings_.end()) return nullptr;
    auto file = listing->second.find(path);
    return file == listing->second.end() ? nullptr : &file->second;
  }

  void want(DownloadPlan& plan, const std::string& commit, const FileEntry& file) {
    if (!wanted_.insert(file.blob.str()).second) return;
    plan.fetch.push_back({.repo = found_.repo, .commit = *Commit::parse(commit), .file = file});
    plan.fetch_bytes += file.size;
  }

  /// Fetches the blobs that are wrong or missing, over what is there.
  Status fetch() {
    DownloadPlan plan;
    for (const auto& [blob, problem] : found_.bad_blobs)
      if (auto users = found_.users.find(blob); users != found_.users.end())
        for (const auto& [commit, path] : users->second)
          if (const auto* file = listed(commit, path); file != nullptr && file->blob.str() == blob)
            want(plan, commit, *file);
    for (const auto& entry : found_.bad_entries)
      if (const auto* file = listed(entry.commit.str(), entry.path))
        if (!plain_file_stamp(layout_.blob(found_.repo, file->blob).c_str()))
          want(plan, entry.commit.str(), *file);
    if (plan.fetch.empty()) return {};
    auto links = request_.settings.use_symlinks ? cache::Links::symlinks : cache::Links::copies;
    auto report = download(layout_, plan,
                           {.settings = request_.settings, .user_agent = request_.user_agent, .links = links},
                           events_, stop_);
    if (report || report.error().code() == Errc::interrupted || report.error().code() == Errc::io)
      return report ? Status{} : fail(std::move(report).error());
    // Files that came before it are in their places; the others are taken for gone.
    events_(Warning{"not all could be fetched: " + describe(report.error())});
    return {};
  }

  bool is_right(const BlobId& blob) const {
    auto path = layout_.blob(found_.repo, blob);
    auto stamp = plain_file_stamp(path.c_str());
    return stamp && cache::verify_blob(path, blob, stamp->size).has_value();
  }

  void mend_users_of(const BlobId& blob, std::size_t problem) {
    if (is_right(blob)) return done(problem, "fetched again");
    remove(layout_.blob(found_.repo, blob), problem, "removed");
    if (auto users = found_.users.find(blob.str()); users != found_.users.end())
      for (const auto& [commit, path] : users->second)
        remove_user(commit, path, problem);
  }

  void remove_user(const std::string& commit, const std::string& path, std::size_t problem) {
    auto slash = path.starts_with("build/") ? path.find('/', 6) : std::string::npos;
    if (slash != std::string::npos) return remove_variant(commit, path.substr(0, slash), problem);
    remove(place_of(commit, path), problem, "removed `" + path + "`");
  }

  fs::path place_of(const std::string& commit, const std::string& path) const {
    return layout_.snapshot(found_.repo, *Commit::parse(commit)) / path;
  }

  /// Out of sight in one step, then removed: nobody sees a part of it.
  void remove_variant(const std::string& commit, const std::string& folder, std::size_t problem) {
    auto place = place_of(commit, folder);
    auto aside = layout_.repository(found_.repo) / ("tmp-" + random_suffix());
    std::error_code ignored;
    if (!fs::exists(fs::symlink_status(place, ignored)))
      return done(problem, "removed the variant `" + folder + "`");
    if (!rename_path(place, aside)) aside = place;
    remove(aside, problem, "removed the variant `" + folder + "`");
  }

  Status mend(const BadEntry& entry) {
    auto commit = entry.commit.str();
    const auto* file = listed(commit, entry.path);
    auto place = place_of(commit, entry.path);
    std::error_code ignored;
    if (file != nullptr && is_right(file->blob)) {
      fs::remove_all(place, ignored);
      auto published =
          cache::publish_snapshot(layout_, found_.repo, entry.commit, {*file}, cache::Links::symlinks);
      if (!published) return published;
      done(entry.problem, "linked again");
      return {};
    }
    bool is_of_variant = found_.problems[entry.problem].rule == "blob-missing";
    if (is_of_variant)
      remove_user(commit, entry.path, entry.problem);
    else
      remove(place, entry.problem, "removed");
    return {};
  }

  const CacheVerifyRequest& request_;
  cache::Layout layout_;
  RepositoryFindings& found_;
  const EventSink& events_;
  const std::stop_token& stop_;
  std::map<std::string, Listing> listings_;  // by commit
  std::set<std::string> wanted_;
};

}  // namespace

Status repair_repository(const CacheVerifyRequest& request, RepositoryFindings& findings,
                         const EventSink& events, const std::stop_token& stop) {
  bool has_work = std::ranges::any_of(findings.problems, [](const CacheProblem& problem) {
    return problem.weight == CacheProblem::Weight::damaged;
  });
  if (!has_work) return {};
  return Repairer(request, findings, events, stop).run();
}

}  // namespace kernels::ops
