#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/file.h"
#include "kernels/cache/blob_store.h"
#include "kernels/ops/cache_care.h"

#include "cache_walk.h"
#include "variant_digest.h"

namespace kernels::ops {

namespace fs = std::filesystem;
using Weight = CacheProblem::Weight;

namespace {

/// Hashes blobs on as many threads as there are cores. Returns the wrong ones with what they are.
std::map<std::string, std::string> wrong_blobs(const std::vector<fs::path>& blobs,
                                               const std::stop_token& stop) {
  std::map<std::string, std::string> out;
  std::mutex mutex;
  std::atomic<std::size_t> next = 0;
  auto work = [&] {
    for (auto i = next++; i < blobs.size() && !stop.stop_requested(); i = next++) {
      auto name = blobs[i].filename().string();
      auto stamp = plain_file_stamp(blobs[i].c_str());
      auto verified = cache::verify_blob(blobs[i], *BlobId::parse(name), stamp ? stamp->size : 0);
      if (verified) continue;
      std::lock_guard guard(mutex);
      out.emplace(name, verified.error().text());
    }
  };
  std::vector<std::jthread> threads;
  auto cores = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  for (std::size_t i = 1; i < std::min(cores, blobs.size()); ++i)
    threads.emplace_back(work);
  work();
  threads.clear();
  return out;
}

class Verifier {
 public:
  Verifier(const cache::Layout& layout, const RepoId& repo) : layout_(layout), out_{.repo = repo} {}

  /// The folder above all repositories; told with the first of them.
  void look_at_root() { folder_is_safe(layout_.root(), ".."); }

  RepositoryFindings run(const std::stop_token& stop) {
    folder_is_safe(layout_.repository(out_.repo), "");
    blobs(stop);
    for (const auto& entry : entries("snapshots"))
      snapshot(entry);
    for (const auto& entry : entries("refs"))
      ref(entry);
    return std::move(out_);
  }

 private:
  std::size_t add(Weight weight, std::string path, std::string rule, std::string text) {
    out_.problems.push_back({.weight = weight,
                             .repo = out_.repo,
                             .path = std::move(path),
                             .rule = std::move(rule),
                             .text = std::move(text),
                             .done = {}});
    return out_.problems.size() - 1;
  }

  std::string relative(const fs::path& path) const {
    return path.lexically_relative(layout_.repository(out_.repo)).generic_string();
  }

  /// Who else can change what lies there?
  void folder_is_safe(const fs::path& path, const std::string& name) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0 || S_ISLNK(info.st_mode)) return;
    auto shown = name.empty() ? std::string(".") : name;
    bool only_adds = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;  // as in /tmp
    if ((info.st_mode & S_IWOTH) != 0 && !only_adds)
      add(Weight::warning, shown, "world-writable", "everybody on this machine can write here");
    if (info.st_uid != ::geteuid() && info.st_uid != 0)
      add(Weight::warning, shown, "foreign-owner",
          "belongs to the user " + std::to_string(info.st_uid) + ", who can change it");
  }

  /// The entries of one of the repository's folders, which must be a folder of its own.
  std::vector<fs::directory_entry> entries(const char* name) {
    auto folder = layout_.repository(out_.repo) / name;
    std::error_code code;
    if (fs::is_symlink(folder, code)) {
      add(Weight::damaged, name, "folder-link", "is a link, where the cache has a folder");
      return {};
    }
    folder_is_safe(folder, name);
    return entries_of(folder);
  }

  void blobs(const std::stop_token& stop) {
    std::vector<fs::path> to_hash;
    for (const auto& entry : entries("blobs")) {
      auto name = entry.path().filename().string();
      struct stat info{};
      if (::lstat(entry.path().c_str(), &info) != 0) continue;
      if (!S_ISREG(info.st_mode)) {
        out_.bad_blobs[name] =
            add(Weight::damaged, "blobs/" + name, "blob-kind",
                S_ISLNK(info.st_mode) ? "is a link, where a file must be" : "is no regular file");
      } else if (BlobId::parse(name)) {
        to_hash.push_back(entry.path());
        folder_is_safe(entry.path(), "blobs/" + name);
        if (info.st_nlink > 1)
          add(Weight::warning, "blobs/" + name, "other-name",
              "has a second name, by which it can be changed");
      } else if (!name.ends_with(".incomplete")) {
        out_.bad_blobs[name] =
            add(Weight::damaged, "blobs/" + name, "blob-name", "has a name that is not a hash");
      }
    }
    for (const auto& [name, text] : wrong_blobs(to_hash, stop))
      out_.bad_blobs[name] =
          add(Weight::damaged, "blobs/" + name, "blob-bytes", "has other bytes than its name says: " + text);
  }

  void snapshot(const fs::directory_entry& entry) {
    auto name = entry.path().filename().string();
    auto commit = Commit::parse(name);
    std::error_code code;
    if (name.starts_with("tmp-")) return;  // being built, or left by an import that was killed
    if (!commit || entry.is_symlink(code) || !entry.is_directory(code)) {
      add(Weight::damaged, "snapshots/" + name, "snapshot-name",
          commit ? "is no folder" : "has a name that is no commit");
      return;
    }
    folder(*commit, entry.path(), "");
    for (const auto& variant : entries_of(entry.path() / "build"))
      if (!variant.is_symlink(code) && variant.is_directory(code)) digest(*commit, variant.path());
  }

  void folder(const Commit& commit, const fs::path& place, const std::string& prefix) {
    folder_is_safe(place, relative(place));
    for (const auto& entry : entries_of(place)) {
      auto path = prefix + entry.path().filename().string();
      auto parsed = RepoPath::parse(path);
      std::error_code code;
      auto kind = entry.symlink_status(code).type();
      if (!parsed)
        bad_entry(commit, path, "snapshot-name", "has a name that no repository may hold");
      else if (kind == fs::file_type::directory)
        folder(commit, entry.path(), path + "/");
      else if (kind == fs::file_type::symlink)
        link(commit, *parsed, entry.path());
      else if (kind != fs::file_type::regular)
        bad_entry(commit, path, "snapshot-kind", "is neither a file nor a link");
    }
  }

  std::size_t bad_entry(const Commit& commit, const std::string& path, const char* rule, std::string text) {
    auto index = add(Weight::damaged, "snapshots/" + commit.str() + "/" + path, rule, std::move(text));
    out_.bad_entries.push_back({.commit = commit, .path = path, .problem = index});
    return index;
  }

  void link(const Commit& commit, const RepoPath& path, const fs::path& place) {
    std::error_code code;
    auto target = fs::read_symlink(place, code);
    auto blob = BlobId::parse(target.filename().string());
    if (!blob || target != cache::link_target(path, *blob)) {
      bad_entry(commit, path.str(), "snapshot-link",
                "leads to `" + target.string() + "`, which is no blob of it");
      return;
    }
    out_.users[blob->str()].emplace(commit.str(), path.str());
    bool is_there = plain_file_stamp(layout_.blob(out_.repo, *blob).c_str()).has_value();
    if (!is_there && !out_.bad_blobs.contains(blob->str()))
      bad_entry(commit, path.str(), "blob-missing",
                "leads to the blob " + blob->str() + ", which is not there");
  }

  /// Of a variant in which nothing else is wrong.
  void digest(const Commit& commit, const fs::path& place) {
    auto prefix = relative(place) + "/";
    auto inside = "build/" + place.filename().string() + "/";
    auto is_in = [&](const BadEntry& bad) { return bad.commit == commit && bad.path.starts_with(inside); };
    if (std::ranges::any_of(out_.bad_entries, is_in)) return;
    std::map<std::string, BlobId> blobs;
    for (const auto& [blob, users] : out_.users)
      for (const auto& [of, path] : users)
        if (of == commit.str() && path.starts_with(inside)) {
          if (out_.bad_blobs.contains(blob)) return;
          blobs.emplace(path.substr(inside.size()), *BlobId::parse(blob));
        }
    auto content = folder_content(place);
    if (!content || (*content)->find("metadata.json") == nullptr) return;
    auto text = (*content)->text("metadata.json");
    auto metadata = text ? parse_metadata(*text, "`metadata.json`") : Result<Metadata>(fail(text.error()));
    if (!metadata || !metadata->digest_algorithm) return;
    auto findings = compare_with_digest(**content, *metadata, [&](const std::string& path) {
      auto found = blobs.find(path);
      return found == blobs.end() ? nullptr : &found->second;
    });
    if (findings.good()) return;
    bool is_partial = findings.damaged.empty() && findings.unknown.empty();
    auto name = prefix.substr(0, prefix.size() - 1);
    if (is_partial) {
      add(Weight::warning, name, "incomplete", findings.first());
      return;
    }
    auto index = add(Weight::damaged, name, "digest", findings.first());
    out_.bad_variants.push_back(
        {.commit = commit, .path = inside.substr(0, inside.size() - 1), .problem = index});
  }

  void ref(const fs::directory_entry& entry) {
    std::error_code code;
    if (!entry.is_symlink(code) && entry.is_directory(code)) {
      for (const auto& below : entries_of(entry.path()))
        ref(below);
      return;
    }
    auto name = relative(entry.path());
    auto text = entry.is_symlink(code) ? Result<std::string>(fail(Errc::io, "is a link"))
                                       : read_file(entry.path(), 1024);
    auto end = text ? text->find_last_not_of(" \t\r\n") : std::string::npos;
    if (end != std::string::npos && Commit::parse(std::string_view(*text).substr(0, end + 1))) return;
    if (name.ends_with(".tmp")) return;
    out_.bad_refs[name] =
        add(Weight::damaged, name, "ref", text ? "does not hold a commit" : "cannot be read as a file");
  }

  cache::Layout layout_;
  RepositoryFindings out_;
};

Result<std::vector<RepoId>> chosen(const cache::Layout& layout, const CacheVerifyRequest& request) {
  auto all = cache::list_repositories(layout).value_or(std::vector<RepoId>{});
  if (request.repositories.empty()) return all;
  for (const auto& repo : request.repositories)
    if (std::ranges::find(all, repo) == all.end())
      return fail(Error(Errc::not_found, "the cache does not have `" + repo.str() + "`")
                      .with_hint("`kernels cache ls` lists what it has"));
  return request.repositories;
}

}  // namespace

bool CacheVerifyReport::good() const {
  return std::ranges::all_of(problems, [](const CacheProblem& problem) {
    return problem.weight == Weight::warning || !problem.done.empty();
  });
}

Result<CacheVerifyReport> verify_cache(const CacheVerifyRequest& request, const EventSink& events,
                                       const std::stop_token& stop) {
  cache::Layout layout(request.settings.cache, request.settings.state);
  auto repositories = chosen(layout, request);
  if (!repositories) return fail(std::move(repositories).error());
  CacheVerifyReport report;
  for (const auto& repo : *repositories) {
    events(Note{"reading `" + repo.str() + "`"});
    Verifier verifier(layout, repo);
    if (repo == repositories->front()) verifier.look_at_root();
    auto findings = verifier.run(stop);
    if (stop.stop_requested()) return fail(Errc::interrupted, "stopped");
    if (request.repair == Repair::yes)
      if (auto repaired = repair_repository(request, findings, events, stop); !repaired)
        return fail(std::move(repaired).error());
    std::ranges::stable_sort(findings.problems, {}, &CacheProblem::path);
    for (auto& problem : findings.problems)
      report.problems.push_back(std::move(problem));
  }
  for (auto& summary : list_cache(layout))
    if (std::ranges::find(*repositories, summary.repo) != repositories->end())
      report.repositories.push_back(std::move(summary));
  return report;
}

}  // namespace kernels::ops
