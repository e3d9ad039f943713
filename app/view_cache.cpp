#include "view_cache.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "json_values.h"
#include "text.h"

namespace kernels::app {

using Weight = ops::CacheProblem::Weight;

namespace {

std::string day_of(const std::optional<std::chrono::system_clock::time_point>& time) {
  if (!time) return "-";
  auto seconds = std::chrono::system_clock::to_time_t(*time);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "-";
  std::array<char, 16> out{};
  std::strftime(out.data(), out.size(), "%Y-%m-%d", &parts);
  return out.data();
}

std::string refs_text(const std::vector<std::string>& refs) {
  return refs.empty() ? "-" : plain_words(refs, " ");
}

Json repository_json(const ops::CachedRepository& repository) {
  return {{"repo_id", repository.repo.str()},
          {"refs", repository.refs},
          {"snapshots", repository.snapshots},
          {"variants", repository.variants},
          {"blobs", repository.blobs},
          {"bytes", repository.bytes},
          {"unfinished", repository.unfinished},
          {"last_used", repository.last_used ? Json(day_of(repository.last_used)) : Json(nullptr)}};
}

Json repositories_json(const std::vector<ops::CachedRepository>& repositories) {
  Json out = Json::array();
  for (const auto& repository : repositories)
    out.push_back(repository_json(repository));
  return out;
}

std::string word_for(Weight weight) {
  return weight == Weight::damaged ? "damaged" : "warning";
}

std::string total(const std::vector<ops::CachedRepository>& repositories) {
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
  for (const auto& repository : repositories) {
    blobs += repository.blobs;
    bytes += repository.bytes;
  }
  return std::to_string(repositories.size()) + (repositories.size() == 1 ? " repository" : " repositories") +
         ", " + counted(blobs, "file") + ", " + human_bytes(bytes);
}

}  // namespace

std::string cache_list_text(const std::vector<ops::CachedRepository>& repositories) {
  if (repositories.empty()) return "No kernels are in the cache\n";
  std::vector<std::vector<std::string>> rows = {{"KERNEL", "REVISIONS", "VARIANTS", "SIZE", "LAST USED"}};
  for (const auto& repository : repositories)
    rows.push_back({repository.repo.str(), refs_text(repository.refs),
                    std::to_string(repository.variants.size()), human_bytes(repository.bytes),
                    day_of(repository.last_used)});
  return table_within(kTableColumns, rows) + "\n" + total(repositories) + "\n";
}

std::string cache_list_json(const std::string& cache,
                            const std::vector<ops::CachedRepository>& repositories) {
  return printed({{"schema", "kernels.cache-list/1"},
                  {"cache", cache},
                  {"repositories", repositories_json(repositories)}});
}

std::string cache_verify_text(const ops::CacheVerifyReport& report) {
  std::string out;
  if (!report.problems.empty()) {
    std::vector<std::vector<std::string>> rows = {{"KERNEL", "STATE", "WHAT"}};
    for (const auto& problem : report.problems)
      rows.push_back({problem.repo.str(), problem.done.empty() ? word_for(problem.weight) : "repaired",
                      plain(problem.path) + "\n" + plain(problem.text) +
                          (problem.done.empty() ? "" : "\n" + plain(problem.done))});
    out = table_within(kTableColumns, rows) + "\n";
  }
  auto damaged = static_cast<std::uint64_t>(std::ranges::count_if(report.problems, [](const auto& problem) {
    return problem.weight == Weight::damaged && problem.done.empty();
  }));
  out += "Read " + total(report.repositories) + ": ";
  return out + (damaged == 0 ? "nothing is damaged" : counted(damaged, "thing") + " damaged") + "\n";
}

std::string cache_verify_json(const std::string& cache, const ops::CacheVerifyReport& report) {
  Json out = {{"schema", "kernels.cache/1"},
              {"cache", cache},
              {"good", report.good()},
              {"repositories", repositories_json(report.repositories)},
              {"problems", Json::array()}};
  for (const auto& problem : report.problems)
    out["problems"].push_back({{"repo_id", problem.repo.str()},
                               {"path", problem.path},
                               {"weight", word_for(problem.weight)},
                               {"rule", problem.rule},
                               {"text", problem.text},
                               {"done", problem.done.empty() ? Json(nullptr) : Json(problem.done)}});
  return printed(out);
}

std::string cache_prune_text(const std::vector<ops::PrunedFile>& pruned, ops::DryRun dry) {
  std::uint64_t bytes = 0;
  std::string out;
  for (const auto& file : pruned) {
    bytes += file.bytes;
    out += file.repo.str() + "  " + plain(file.path) + "  " + human_bytes(file.bytes) + "  " + file.reason +
           "\n";
  }
  const char* verb = dry == ops::DryRun::yes ? "Would remove " : "Removed ";
  return out + verb + counted(pruned.size(), "file") + ", " + human_bytes(bytes) + "\n";
}

std::string cache_prune_json(const std::string& cache, const std::vector<ops::PrunedFile>& pruned,
                             ops::DryRun dry) {
  Json out = {{"schema", "kernels.cache-prune/1"},
              {"cache", cache},
              {"dry_run", dry == ops::DryRun::yes},
              {"removed", Json::array()}};
  for (const auto& file : pruned)
    out["removed"].push_back(
        {{"repo_id", file.repo.str()}, {"path", file.path}, {"bytes", file.bytes}, {"reason", file.reason}});
  return printed(out);
}

}  // namespace kernels::app
