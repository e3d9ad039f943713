#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/hub/http.h"
#include "kernels/model/file_entry.h"
#include "kernels/model/hub_answers.h"
#include "kernels/model/repo.h"

namespace kernels::hub {

template <class T>
using Then = std::function<void(Result<T>)>;

/// The Hub's API for kernel repositories, on top of an HttpClient. Every call returns at once; its answer
/// comes from `HttpClient::run`. Transient failures are tried again by the rules of `retry.h`.
///
/// Errors  not_found: no such repository, revision or file (the text says which); access_denied: private,
/// gated
///         or a bad token; network; corrupt and integrity from reading the answer.
/// Threads that of the client. The client must outlive this object, and this object the run.
class Api {
 public:
  Api(HttpClient& client, std::string endpoint, int max_retries)
      : client_(client), endpoint_(std::move(endpoint)), max_retries_(max_retries) {}

  void refs(const RepoId& repo, Then<RepositoryRefs> then);
  void revision(const RepoId& repo, const std::string& revision, Then<RevisionInfo> then);
  /// All files below `build/` at a commit, every page, in the Hub's order. A repository without `build/`:
  /// empty. Errors  integrity also for a listing that does not end, goes on at another host, or names files
  /// that cannot be beside each other.
  void build_files(const RepoId& repo, const Commit& commit, Then<std::vector<FileEntry>> then);
  /// The same below `benchmarks/`.
  void benchmark_files(const RepoId& repo, const Commit& commit, Then<std::vector<FileEntry>> then);
  /// A small file; `revision` may be a branch. Its content, at most 8 MiB.
  void file(const RepoId& repo, const std::string& revision, const RepoPath& path, Then<std::string> then);
  /// Whether the Hub marks the organisation as a trusted publisher; an unknown one is not.
  void is_trusted_publisher(const std::string& publisher, Then<bool> then);

  /// A request with retries: the answer of the last try. For callers that need the bytes of an answer.
  void get(HttpRequest request, Then<HttpResponse> then, int attempt = 1);

  const std::string& endpoint() const { return endpoint_; }

 private:
  template <class T>
  void get_parsed(const RepoId* repo, const std::string& url,
                  std::function<Result<T>(const HttpResponse&)> parse, Then<T> then);
  void next_tree_page(const RepoId& repo, std::string url, std::vector<FileEntry> files,
                      Then<std::vector<FileEntry>> then, std::size_t page_number = 1);

  HttpClient& client_;
  std::string endpoint_;
  int max_retries_;
};

/// The Error that an answer of 400 and above means; `repo` is named in it if given.
/// Source  the Hub's X-Error-Code and X-Error-Message headers, with the status where they are missing.
Error error_from(const HttpResponse& response, const RepoId* repo);

}  // namespace kernels::hub
