// Each route of the Hub is one request that is never repeated. All that need nothing of each other are under
// way at once; only the listing waits for the refs, and the stored file for the listing.

#include <algorithm>
#include <map>

#include "kernels/base/joined.h"
#include "kernels/hub/api.h"
#include "kernels/hub/url.h"
#include "kernels/ops/resolver.h"

#include "doctor_parts.h"

namespace kernels::ops {

namespace {

using Clock = std::chrono::steady_clock;
using hub::TransferFailure;

constexpr std::chrono::seconds kLongestWait{10};

std::string host_of(const std::string& url) {
  auto origin = hub::origin_of(url);
  return origin ? origin->host +
                      (origin->port == 443 || origin->port == 80 ? "" : ":" + std::to_string(origin->port))
                : std::string();
}

std::string hint_of(TransferFailure failure) {
  switch (failure) {
    case TransferFailure::none:
      return {};
    case TransferFailure::name:
      return "check the name and the DNS settings; where only a proxy knows the internet, set `HTTPS_PROXY`";
    case TransferFailure::proxy:
      return "check `HTTPS_PROXY`, and that the proxy allows this host";
    case TransferFailure::connect:
      return "a firewall may block the host; where a proxy is needed, set `HTTPS_PROXY`";
    case TransferFailure::tls:
      return "check the clock, and `SSL_CERT_FILE` if a proxy re-signs connections";
    case TransferFailure::timeout:
      return "the host, or a proxy or firewall before it, does not answer";
    case TransferFailure::other:
      return "something on the way changes answers; try without a proxy";
  }
  return {};
}

hub::HttpOptions probe_options(const RouteRequest& request) {
  auto options = http_options(request.settings, request.user_agent);
  options.connect_timeout = std::min(options.connect_timeout, kLongestWait);
  options.stall_timeout = std::min(options.stall_timeout, kLongestWait);
  return options;
}

/// Whether an answer that is no success still shows that the route works: the thing itself is not there.
enum class Absence { refused, is_an_answer };

class Prober {
 public:
  explicit Prober(const RouteRequest& request)
      : request_(request), client_(hub::make_http_client(probe_options(request))) {}

  Result<std::vector<RouteReport>> run(const std::stop_token& stop) {
    const auto& endpoint = request_.settings.endpoint;
    const auto& repo = request_.repo;
    auto readme = RepoPath::parse("README.md");
    enter("repository", hub::api_url(endpoint, repo, "/refs"));
    enter("file", hub::resolve_url(endpoint, repo, "main", *readme));
    enter("organisation",
          endpoint + "/api/organizations/" +
              hub::percent_encode(repo.str().substr(0, repo.str().find('/')), hub::Slashes::encode) +
              "/overview");
    if (!request_.settings.token.empty()) enter("whoami", endpoint + "/api/whoami-v2");
    enter("listing", "");
    enter("stored file", "");
    ask("repository", Absence::refused, {}, [this](const hub::HttpResponse& r) { ask_listing(r); });
    ask("file", Absence::is_an_answer, hub::ByteRange{}, {});
    ask("organisation", Absence::is_an_answer, {}, {});
    if (find("whoami") != nullptr) ask("whoami", Absence::refused, {}, {});
    if (auto driven = client_->run(stop); !driven) return fail(std::move(driven).error());
    return std::move(reports_);
  }

 private:
  using Then = std::function<void(const hub::HttpResponse&)>;

  void enter(std::string name, std::string url) {
    reports_.push_back({.name = std::move(name), .url = std::move(url)});
  }
  RouteReport* find(const std::string& name) {
    auto found = std::ranges::find(reports_, name, &RouteReport::name);
    return found == reports_.end() ? nullptr : &*found;
  }

  void ask(const std::string& name, Absence absence, std::optional<hub::ByteRange> range, Then then) {
    auto* report = find(name);  // no report is added from here on
    auto begin = Clock::now();
    hub::HttpRequest request{.url = report->url, .range = range};
    report->url = hub::display_url(report->url);
    request.trace = [report](const hub::TransferTrace& trace) {
      report->failure = trace.failure;
      report->host = host_of(trace.url);
      report->redirected = trace.hops > 0;
    };
    client_->start(std::move(request), [this, report, begin, absence,
                                        then = std::move(then)](Result<hub::HttpResponse> response) {
      report->time = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - begin);
      judge(*report, absence, response);
      if (report->state == RouteState::ok && response->head.status < 300 && then) then(*response);
    });
  }

  void judge(RouteReport& report, Absence absence, const Result<hub::HttpResponse>& response) const {
    if (!response) {
      report.state = RouteState::failed;
      report.detail = response.error().text();
      report.hint = hint_of(report.failure);
      return;
    }
    report.status = response->head.status;
    // A file of no bytes has no first one: that is an answer too.
    bool empty = report.status == 416;
    bool absent = report.status == 404 && absence == Absence::is_an_answer &&
                  response->head.header("x-error-code").value_or("EntryNotFound") != "RepoNotFound";
    if (report.status < 300 || empty || absent) {
      report.state = RouteState::ok;
      return;
    }
    report.state = RouteState::refused;
    bool is_of_repo = report.name != "organisation" && report.name != "whoami";
    auto error = hub::error_from(*response, is_of_repo ? &request_.repo : nullptr);
    report.detail = error.text();
    report.hint = error.hint();
  }

  void ask_listing(const hub::HttpResponse& response) {
    auto refs = parse_refs(response.body, hub::display_url(response.head.url));
    if (!refs) return misread("repository", refs.error());
    std::string chosen = "main";
    std::uint64_t highest = 0;
    for (const auto& branch : refs->branches)
      if (auto number = version_branch_number(branch.name); number && *number >= highest) {
        highest = *number;
        chosen = branch.name;
      }
    find("listing")->url = hub::api_url(
        request_.settings.endpoint, request_.repo,
        "/tree/" + hub::percent_encode(chosen, hub::Slashes::encode) + "/build?recursive=true&expand=false");
    ask("listing", Absence::is_an_answer, {},
        [this, chosen](const hub::HttpResponse& r) { ask_stored_file(r, chosen); });
  }

  /// The largest file of the first page: large ones are stored on another host than the Hub's own.
  void ask_stored_file(const hub::HttpResponse& response, const std::string& revision) {
    auto files = parse_tree_page(response.body, hub::display_url(response.head.url));
    if (!files) return misread("listing", files.error());
    auto largest = std::ranges::max_element(*files, {}, &FileEntry::size);
    if (largest == files->end() || largest->size == 0) return;
    find("stored file")->url =
        hub::resolve_url(request_.settings.endpoint, request_.repo, revision, largest->path);
    ask("stored file", Absence::refused, hub::ByteRange{}, {});
  }

  /// An answer that is none of the Hub, as a login page of a network gives it.
  void misread(const std::string& name, const Error& error) {
    auto* report = find(name);
    report->state = RouteState::failed;
    report->failure = TransferFailure::other;
    report->detail = error.text();
    report->hint = hint_of(TransferFailure::other);
  }

  const RouteRequest& request_;
  std::vector<RouteReport> reports_;
  std::unique_ptr<hub::HttpClient> client_;
};

std::string failure_text(const RouteReport& route) {
  switch (route.failure) {
    case TransferFailure::name:
      return "there is no address for `" + route.host + "`";
    case TransferFailure::proxy:
      return "the proxy does not lead to `" + route.host + "`";
    case TransferFailure::connect:
      return "`" + route.host + "` does not take connections";
    case TransferFailure::tls:
      return "there is no secure connection to `" + route.host + "`";
    case TransferFailure::timeout:
      return "`" + route.host + "` does not answer in time";
    case TransferFailure::none:
    case TransferFailure::other:
      break;
  }
  return "`" + route.host + "` gives an answer that makes no sense";
}

}  // namespace

Result<std::vector<RouteReport>> try_routes(const RouteRequest& request, const std::stop_token& stop) {
  return Prober(request).run(stop);
}

std::vector<Finding> route_findings(const std::vector<RouteReport>& routes, RepoIs repo) {
  // What fails for one reason is one finding, however many routes show it.
  std::map<std::string, std::pair<Finding, std::vector<std::string>>> found;
  for (const auto& route : routes) {
    Finding finding{.severity = Severity::problem, .what = {}, .fix = route.hint};
    if (route.state == RouteState::failed) {
      finding.what = failure_text(route) + ": " + route.detail;
    } else if (route.state == RouteState::refused) {
      // A mirror has no accounts and need not have every repository; a token that the Hub itself refuses
      // shows on the other routes too.
      bool harmless = route.name == "whoami" || (route.status == 404 && repo == RepoIs::usual);
      if (harmless) finding.severity = Severity::note;
      finding.what = "the Hub answers " + std::to_string(route.status) + ": " + route.detail;
      if (finding.fix.empty()) finding.fix = "try again; `-vv` shows every request";
    } else {
      continue;
    }
    auto& entry = found[finding.what];
    entry.first = std::move(finding);
    entry.second.push_back(route.name);
  }
  std::vector<Finding> out;
  for (auto& [what, entry] : found) {
    entry.first.what += " (route " + joined(entry.second) + ")";
    out.push_back(std::move(entry.first));
  }
  return out;
}

}  // namespace kernels::ops
