#include "kernels/hub/api.h"

#include <algorithm>
#include <utility>

#include "kernels/base/log.h"
#include "kernels/hub/retry.h"
#include "kernels/hub/url.h"

namespace kernels::hub {

static constexpr std::size_t kMaxTreePages = 10'000;
/// Far more than the Hub recommends for a repository.
static constexpr std::size_t kMaxTreeFiles = 200'000;

static std::string reason_in(const HttpResponse& response) {
  if (auto message = response.head.header("x-error-message")) return *message;
  return parse_error_body(response.body).value_or("");
}

static Error not_found_error(const std::string& code, const std::string& name) {
  if (code == "RevisionNotFound")
    return Error(Errc::not_found, name + " has no such revision")
        .with_hint("`kernels versions` lists what exists");
  if (code == "EntryNotFound") return Error(Errc::not_found, name + " has no such file or folder");
  return Error(Errc::not_found, name + " does not exist on the Hub, or is private")
      .with_hint("check the name; for a private repository give a token with `HF_TOKEN`");
}

static Error status_error(const HttpResponse& response, const std::string& reason) {
  int status = response.head.status;
  std::string text = "the server answered " + std::to_string(status) + (reason.empty() ? "" : ": " + reason);
  if (status == 429)
    return Error(Errc::network, text)
        .with_hint("wait, or give a token with `HF_TOKEN` for a higher rate limit");
  if (status >= 500) return Error(Errc::network, text).with_hint("the Hub has trouble; try again later");
  return Error(Errc::network, text);
}

static Error classify(const HttpResponse& response, const RepoId* repo, const std::string& reason) {
  auto code = response.head.header("x-error-code").value_or("");
  int status = response.head.status;
  std::string name = repo != nullptr ? "`" + repo->str() + "`" : "it";
  if (code == "GatedRepo")
    return Error(Errc::access_denied, name + " is gated: its conditions must be accepted first")
        .with_hint("accept them on the repository's web page, then give a token with `HF_TOKEN`");
  if (code == "RepoNotFound" || code == "RevisionNotFound" || code == "EntryNotFound")
    return not_found_error(code, name);
  if (reason.find("Invalid credentials") != std::string::npos ||
      reason.find("Invalid username") != std::string::npos)
    return Error(Errc::access_denied, "the Hub does not accept the token")
        .with_hint("check `HF_TOKEN`, or the token file of `huggingface-cli login`");
  // The Hub hides private repositories from those who may not see them behind a plain 401.
  if (status == 401)
    return Error(Errc::access_denied, name + " does not exist, or is private and no token was given")
        .with_hint("check the name; for a private repository give a token with `HF_TOKEN`");
  if (status == 403)
    return Error(Errc::access_denied,
                 "access to " + name + " is denied" + (reason.empty() ? "" : ": " + reason))
        .with_hint("the token may lack the permission; see its settings on the Hub");
  if (status == 404) return not_found_error("", name);
  return status_error(response, reason);
}

Error error_from(const HttpResponse& response, const RepoId* repo) {
  auto error = classify(response, repo, reason_in(response));
  auto request_id = response.head.header("x-request-id");
  auto step = "fetching " + display_url(response.head.url);
  if (request_id && response.head.status >= 500) step += " (request " + request_id->substr(0, 80) + ")";
  return std::move(error).while_doing(std::move(step));
}

void Api::get(HttpRequest request, Then<HttpResponse> then, int attempt) {
  auto copy = request;
  client_.start(std::move(request), [this, copy = std::move(copy), then = std::move(then),
                                     attempt](Result<HttpResponse> response) mutable {
    // Where nobody answers at all, a person waits at the terminal: say so soon.
    int limit = response ? max_retries_ : std::min(max_retries_, 2);
    bool transient =
        response ? is_transient(response->head.status) : response.error().code() == Errc::network;
    auto head = response ? std::optional(response->head) : std::nullopt;
    auto delay = retry_delay(attempt, head);
    if (!transient || attempt > limit || !delay) return then(std::move(response));
    log(LogLevel::info,
        "trying again in " + std::to_string(delay->count()) + " ms: " + display_url(copy.url));
    client_.after(*delay, [this, copy = std::move(copy), then = std::move(then), attempt]() mutable {
      get(std::move(copy), std::move(then), attempt + 1);
    });
  });
}

template <class T>
void Api::get_parsed(const RepoId* repo, const std::string& url,
                     std::function<Result<T>(const HttpResponse&)> parse, Then<T> then) {
  auto name = repo != nullptr ? std::optional(*repo) : std::nullopt;
  get({.url = std::move(url)},
      [name, parse = std::move(parse), then = std::move(then)](Result<HttpResponse> r) {
        if (!r) return then(fail(std::move(r).error()));
        if (r->head.status >= 300) return then(fail(error_from(*r, name ? &*name : nullptr)));
        then(parse(*r));
      });
}

/// The name in `…/api/kernels/<id>/refs`, where the answer came from in the end.
static std::string name_in_refs_url(const std::string& url) {
  constexpr std::string_view kBefore = "/api/kernels/";
  constexpr std::string_view kAfter = "/refs";
  auto begin = url.find(kBefore);
  auto end = url.rfind(kAfter);
  if (begin == std::string::npos || end == std::string::npos || end < begin + kBefore.size()) return {};
  auto name = url.substr(begin + kBefore.size(), end - begin - kBefore.size());
  return RepoId::parse(name) ? name : std::string();
}

void Api::refs(const RepoId& repo, Then<RepositoryRefs> then) {
  auto parse = [name = repo.str()](const HttpResponse& r) {
    auto refs = parse_refs(r.body, display_url(r.head.url));
    auto present = name_in_refs_url(r.head.url);
    if (refs && r.hops > 0 && present != name) refs->renamed_to = present;
    return refs;
  };
  get_parsed<RepositoryRefs>(&repo, api_url(endpoint_, repo, "/refs"), parse, std::move(then));
}

void Api::revision(const RepoId& repo, const std::string& revision, Then<RevisionInfo> then) {
  auto url = api_url(endpoint_, repo, "/revision/" + percent_encode(revision, Slashes::encode));
  get_parsed<RevisionInfo>(
      &repo, url, [](const HttpResponse& r) { return parse_revision_info(r.body, display_url(r.head.url)); },
      std::move(then));
}

void Api::build_files(const RepoId& repo, const Commit& commit, Then<std::vector<FileEntry>> then) {
  auto url = api_url(endpoint_, repo, "/tree/" + commit.str() + "/build?recursive=true&expand=false");
  next_tree_page(repo, url, {}, std::move(then));
}

void Api::benchmark_files(const RepoId& repo, const Commit& commit, Then<std::vector<FileEntry>> then) {
  auto url = api_url(endpoint_, repo, "/tree/" + commit.str() + "/benchmarks?recursive=true&expand=false");
  next_tree_page(repo, url, {}, std::move(then));
}

static Result<std::string> next_page_url(const HttpResponse& response, const std::string& link) {
  auto target = redirect_target(response.head.url, link);
  if (!target) return target;
  // A page on another host would be asked with the token of this one.
  if (*origin_of(*target) != *origin_of(response.head.url))
    return fail(Errc::integrity, "the listing goes on at another host, `" + display_url(*target) + "`");
  return target;
}

void Api::next_tree_page(const RepoId& repo, std::string url, std::vector<FileEntry> files,
                         Then<std::vector<FileEntry>> then, std::size_t page_number) {
  get({.url = std::move(url)}, [this, repo, files = std::move(files), then = std::move(then),
                                page_number](Result<HttpResponse> r) mutable {
    if (!r) return then(fail(std::move(r).error()));
    if (r->head.status == 404 && r->head.header("x-error-code") == "EntryNotFound")
      return then(std::move(files));
    if (r->head.status >= 300) return then(fail(error_from(*r, &repo)));
    auto page = parse_tree_page(r->body, display_url(r->head.url));
    if (!page) return then(fail(std::move(page).error()));
    auto link = next_link(r->head.header("link").value_or(""));
    // A listing that never ends would fill the memory.
    bool goes_nowhere = link && (page->empty() || (!files.empty() && files.front() == page->front()));
    files.insert(files.end(), std::make_move_iterator(page->begin()), std::make_move_iterator(page->end()));
    if (goes_nowhere || files.size() > kMaxTreeFiles || page_number >= kMaxTreePages)
      return then(fail(Errc::integrity, "the listing of `" + repo.str() + "` does not end"));
    if (!link) {
      auto possible = check_file_set(files);
      return then(possible ? Result<std::vector<FileEntry>>(std::move(files))
                           : fail(std::move(possible).error()));
    }
    auto next = next_page_url(*r, *link);
    if (!next) return then(fail(std::move(next).error()));
    next_tree_page(repo, std::move(*next), std::move(files), std::move(then), page_number + 1);
  });
}

void Api::file(const RepoId& repo, const std::string& revision, const RepoPath& path,
               Then<std::string> then) {
  get_parsed<std::string>(
      &repo, resolve_url(endpoint_, repo, revision, path),
      [](const HttpResponse& r) -> Result<std::string> { return r.body; }, std::move(then));
}

void Api::is_trusted_publisher(const std::string& publisher, Then<bool> then) {
  auto url = endpoint_ + "/api/organizations/" + percent_encode(publisher, Slashes::encode) + "/overview";
  get({.url = url}, [then = std::move(then)](Result<HttpResponse> r) {
    if (!r) return then(fail(std::move(r).error()));
    if (r->head.status == 404) return then(false);  // a user, or nobody
    if (r->head.status >= 300) return then(fail(error_from(*r, nullptr)));
    then(parse_trusted_publisher(r->body, display_url(r->head.url)));
  });
}

}  // namespace kernels::hub
