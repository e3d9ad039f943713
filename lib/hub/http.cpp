// One libcurl multi handle drives everything. libcurl sees one hop at a time: this file follows redirects
// itself, because what may follow a redirect (a token, a scheme) is a decision of ours and the same on every
// version.

#include "kernels/hub/http.h"

#include <algorithm>
#include <cctype>
#include <deque>
#include <mutex>
#include <utility>

#include "kernels/base/log.h"
#include "kernels/hub/url.h"

#include "curl_library.h"

namespace kernels::hub {

std::optional<std::string> ResponseHead::header(const std::string& name) const {
  auto [begin, end] = headers.equal_range(name);
  if (begin == end) return std::nullopt;
  for (auto it = begin; it != end; ++it)
    if (it->second != begin->second) return std::nullopt;
  return begin->second;
}

std::optional<std::uint64_t> ResponseHead::content_length() const {
  auto text = header("content-length");
  if (!text || text->empty() || text->size() > 18 ||
      text->find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoull(*text);
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxHops = 20;
constexpr std::size_t kMaxHeaderBytes = 64 << 10;
constexpr long kReceiveBuffer = 64 << 10;
constexpr long kBulkReceiveBuffer = 512 << 10;

struct EasyCleanup {
  void operator()(CURL* handle) const { curl().easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyCleanup>;

struct ListCleanup {
  void operator()(curl_slist* list) const { curl().slist_free_all(list); }
};

class CurlClient;

struct Transfer {
  CurlClient* client = nullptr;
  HttpRequest request;
  HttpDone done;
  std::string url;           // of the present hop
  bool authorised = true;    // still at the Hub's own origin
  bool passed_sink = false;  // the sink took the head: no redirect any more
  int hops = 0;
  EasyHandle easy;
  std::unique_ptr<curl_slist, ListCleanup> headers;
  ResponseHead head;
  std::size_t header_bytes = 0;
  std::string body;
  std::optional<Error> failure;  // why a callback ended the transfer
};

class CurlClient final : public HttpClient {
 public:
  explicit CurlClient(HttpOptions options)
      : options_(std::move(options)), multi_(load_curl() ? curl().multi_init() : nullptr) {
    if (auto origin = origin_of(options_.endpoint)) origin_ = *origin;
    if (multi_ == nullptr) return;  // `run` says why
    // Twice as many as transfers: where every file is behind a redirect, those to the Hub stay open beside
    // those to the store instead of being closed and made again.
    auto connections = static_cast<long>(2 * options_.max_connections);
    curl().multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl().multi_setopt(multi_, CURLMOPT_MAXCONNECTS, connections);
    curl().multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;
  ~CurlClient() override {
    if (multi_ == nullptr) return;
    for (auto& transfer : active_)
      curl().multi_remove_handle(multi_, transfer->easy.get());
    active_.clear();
    idle_.clear();
    curl().multi_cleanup(multi_);
  }

  void start(HttpRequest request, HttpDone done) override {
    auto transfer = std::make_unique<Transfer>();
    transfer->client = this;
    transfer->url = request.url;
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    waiting_.push_back(std::move(transfer));
  }

  void after(std::chrono::milliseconds delay, std::function<void()> action) override {
    timers_.emplace(Clock::now() + delay, std::move(action));
  }

  void expect_post() override { ++expected_posts_; }

  void post(std::function<void()> action) override {
    {
      std::lock_guard guard(posts_mutex_);
      posts_.push_back(std::move(action));
    }
    if (multi_ != nullptr) curl().multi_wakeup(multi_);
  }

  Status run(const std::stop_token& stop) override {
    if (!load_curl()) return fail(load_curl().error());
    if (multi_ == nullptr) return fail(Errc::io, "libcurl has no memory to start with");
    std::stop_callback wake(stop, [this] { curl().multi_wakeup(multi_); });
    for (;;) {
      if (stop.stop_requested()) return interrupted();
      run_posts();
      run_timers();
      activate_waiting();
      int running = 0;
      curl().multi_perform(multi_, &running);
      bool progressed = collect_finished();
      if (is_done()) return {};
      if (!progressed) curl().multi_poll(multi_, nullptr, 0, poll_timeout(), nullptr);
    }
  }

  HttpCounters counters() const override { return counters_; }
  std::optional<std::chrono::microseconds> distance() const override { return distance_; }

 private:
  bool is_done() {
    std::lock_guard guard(posts_mutex_);
    return active_.empty() && waiting_.empty() && timers_.empty() && posts_.empty() && expected_posts_ == 0;
  }

  Status interrupted() {
    for (auto& transfer : active_)
      curl().multi_remove_handle(multi_, transfer->easy.get());
    active_.clear();
    waiting_.clear();
    timers_.clear();
    return fail(Errc::interrupted, "stopped");
  }

  void run_posts() {
    std::vector<std::function<void()>> actions;
    {
      std::lock_guard guard(posts_mutex_);
      actions.swap(posts_);
    }
    for (auto& action : actions) {
      if (expected_posts_ > 0) --expected_posts_;
      action();
    }
  }

  void run_timers() {
    while (!timers_.empty() && timers_.begin()->first <= Clock::now()) {
      auto action = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      action();
    }
  }

  int poll_timeout() const {
    if (timers_.empty()) return 1000;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000));
  }

  void activate_waiting() {
    while (!waiting_.empty() && active_.size() < options_.max_connections) {
      auto transfer = std::move(waiting_.front());
      waiting_.pop_front();
      activate(std::move(transfer));
    }
  }

  void activate(std::unique_ptr<Transfer> transfer) {
    if (idle_.empty()) {
      transfer->easy.reset(curl().easy_init());
    } else {
      transfer->easy = std::move(idle_.back());
      idle_.pop_back();
    }
    auto origin = origin_of(transfer->url);
    auto usable = origin ? check_encryption(*origin, options_.plain_http) : fail(std::move(origin).error());
    if (!usable) {
      // What the user set is theirs to mend; where a server leads is not.
      auto code = transfer->hops > 0 ? Errc::integrity : usable.error().code();
      transfer->failure = std::move(usable).error().as(code);
      return finish(std::move(transfer), CURLE_URL_MALFORMAT);
    }
    configure(*transfer);
    ++counters_.requests;
    log(LogLevel::debug, "GET " + display_url(transfer->url));
    curl().multi_add_handle(multi_, transfer->easy.get());
    active_.push_back(std::move(transfer));
  }

  void configure(Transfer& transfer) {
    CURL* easy = transfer.easy.get();
    curl().easy_reset(easy);
    curl_slist* headers = nullptr;
    headers = curl().slist_append(headers, "Accept-Encoding: identity");
    if (transfer.authorised && !options_.token.empty() &&
        origin_of(transfer.url).value_or(Origin{}) == origin_)
      headers = curl().slist_append(headers, ("Authorization: Bearer " + options_.token.reveal()).c_str());
    if (transfer.request.range) {
      auto range = *transfer.request.range;
      headers = curl().slist_append(
          headers,
          ("Range: bytes=" + std::to_string(range.first) + "-" + std::to_string(range.last)).c_str());
    }
    transfer.headers.reset(headers);
    curl().easy_setopt(easy, CURLOPT_URL, transfer.url.c_str());
    curl().easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl().easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl().easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl().easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl().easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl().easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl().easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl().easy_setopt(easy, CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    curl().easy_setopt(easy, CURLOPT_BUFFERSIZE,
                       transfer.request.is_bulk ? kBulkReceiveBuffer : kReceiveBuffer);
    curl().easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_timeout.count()));
    curl().easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl().easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_timeout.count()));
    curl().easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) curl().easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl().easy_setopt(easy, CURLOPT_WRITEFUNCTION, &CurlClient::on_body);
    curl().easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl().easy_setopt(easy, CURLOPT_HEADERFUNCTION, &CurlClient::on_header);
    curl().easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  }

  static std::size_t on_header(char* text, std::size_t, std::size_t size, void* data) {
    auto& transfer = *static_cast<Transfer*>(data);
    std::string_view line(text, size);
    transfer.header_bytes += size;
    if (transfer.header_bytes > kMaxHeaderBytes) {
      transfer.failure = Error(Errc::network, "the answer's headers are longer than 64 KiB");
      return 0;
    }
    if (line.starts_with("HTTP/")) {  // also after a 1xx answer
      transfer.head.headers.clear();
      return size;
    }
    auto colon = line.find(':');
    if (colon == std::string_view::npos) return size;
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    auto value = line.substr(colon + 1);
    auto begin = value.find_first_not_of(" \t\r\n");
    auto end = value.find_last_not_of(" \t\r\n");
    transfer.head.headers.emplace(std::move(name), begin == std::string_view::npos
                                                       ? ""
                                                       : std::string(value.substr(begin, end - begin + 1)));
    return size;
  }

  /// The head is complete when the first piece of the body comes, or at the end of an answer without one.
  static void complete_head(Transfer& transfer) {
    long status = 0;
    curl().easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    transfer.head.status = static_cast<int>(status);
    transfer.head.url = transfer.url;
    transfer.client->note_distance(transfer);
  }

  static bool has_sink(const Transfer& transfer) {
    return transfer.request.sink && (transfer.head.status == 200 || transfer.head.status == 206);
  }

  static Status begin_sink(Transfer& transfer) {
    if (transfer.passed_sink) return {};
    auto encoding = transfer.head.header("content-encoding").value_or("identity");
    if (encoding != "identity")
      return fail(Errc::network,
                  "the server sends the file encoded as `" + encoding + "`, which was not asked for");
    transfer.passed_sink = true;
    return transfer.request.sink->begin(transfer.head);
  }

  static Status take_body(Transfer& transfer, std::span<const std::byte> bytes) {
    // Two lengths: whatever stands between may take the other one, and what follows for the next answer.
    if (transfer.head.headers.contains("transfer-encoding") &&
        transfer.head.headers.contains("content-length"))
      return fail(Errc::network, "the answer has both a length and a transfer encoding");
    if (has_sink(transfer)) {
      if (auto begun = begin_sink(transfer); !begun) return begun;
      return transfer.request.sink->data(bytes);
    }
    bool is_error_page = transfer.head.status >= 300;
    std::uint64_t limit = is_error_page ? 64 << 10 : transfer.request.max_body;
    if (transfer.body.size() + bytes.size() > limit) {
      if (is_error_page) return {};  // enough of it was seen
      return fail(Errc::network, "the answer is longer than " + std::to_string(limit) + " bytes");
    }
    transfer.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    if (transfer.head.status == 0) complete_head(transfer);
    transfer.client->counters_.body_bytes += size;
    auto bytes = std::as_bytes(std::span<const char>(data, size));
    if (auto taken = take_body(transfer, bytes); !taken) {
      transfer.failure = std::move(taken).error();
      return 0;
    }
    return size;
  }

  bool collect_finished() {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = curl().multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      CURLcode code = message->data.result;
      auto found =
          std::ranges::find(active_, easy, [](const auto& transfer) { return transfer->easy.get(); });
      curl().multi_remove_handle(multi_, easy);
      if (found == active_.end()) continue;
      auto transfer = std::move(*found);
      *found = std::move(active_.back());
      active_.pop_back();
      note_connection(*transfer);
      finish(std::move(transfer), code);
      any = true;
    }
    return any;
  }

  void note_connection(const Transfer& transfer) {
    long made = 0;
    curl().easy_getinfo(transfer.easy.get(), CURLINFO_NUM_CONNECTS, &made);
    counters_.connections += static_cast<std::uint64_t>(made);
  }

  void note_distance(const Transfer& transfer) {
    note_distance(transfer, CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_CONNECT_TIME_T);
    note_distance(transfer, CURLINFO_PRETRANSFER_TIME_T, CURLINFO_STARTTRANSFER_TIME_T);
  }

  /// A round trip lies between the two; one that was slow because a processor was busy must not count.
  void note_distance(const Transfer& transfer, CURLINFO from, CURLINFO to) {
    curl_off_t begin = 0;
    curl_off_t end = 0;
    curl().easy_getinfo(transfer.easy.get(), from, &begin);
    curl().easy_getinfo(transfer.easy.get(), to, &end);
    if (end <= begin) return;  // the connection was there before
    std::chrono::microseconds took(end - begin);
    distance_ = std::min(distance_.value_or(took), took);
  }

  static Error transfer_error(Transfer& transfer, CURLcode code) {
    if (transfer.failure) return std::move(*transfer.failure);
    // libcurl's names for a single header line beyond its own limit: before 8.6, and since.
    constexpr int kTooLarge = 100;
    if (code == CURLE_OUT_OF_MEMORY || static_cast<int>(code) == kTooLarge)
      return Error(Errc::network, "the answer's headers are longer than 64 KiB");
    std::string text = curl().easy_strerror(code);
    bool is_word = text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0;  // not `SSL`
    if (is_word) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    Error error(Errc::network,
                code == CURLE_OPERATION_TIMEDOUT ? "no answer, or no progress, in time" : text);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
      return std::move(error).with_hint(
          "check the clock, and `SSL_CERT_FILE` if a proxy re-signs connections");
    return std::move(error).with_hint(
        "check the network, `HF_ENDPOINT` and proxy settings; with everything in "
        "the cache, `HF_HUB_OFFLINE=1` needs no network");
  }

  /// A proxy that refuses to connect further looks like a broken answer, but for the status that it gave.
  static bool refused_by_proxy(const Transfer& transfer) {
    long status = 0;
    curl().easy_getinfo(transfer.easy.get(), CURLINFO_HTTP_CONNECTCODE, &status);
    return status >= 300;
  }

  static TransferFailure failed_step(const Transfer& transfer, CURLcode code) {
    switch (code) {
      case CURLE_OK:
        return transfer.failure ? TransferFailure::other : TransferFailure::none;
      case CURLE_COULDNT_RESOLVE_HOST:
        return TransferFailure::name;
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_PROXY:
        return TransferFailure::proxy;
      case CURLE_COULDNT_CONNECT:
        return TransferFailure::connect;
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_CERTPROBLEM:
      case CURLE_SSL_ISSUER_ERROR:
        return TransferFailure::tls;
      case CURLE_OPERATION_TIMEDOUT:
        return TransferFailure::timeout;
      default:
        return refused_by_proxy(transfer) ? TransferFailure::proxy : TransferFailure::other;
    }
  }

  /// A server that repeats what it was sent must not bring the token into an error text.
  void hide_token(Transfer& transfer) const {
    const auto& token = options_.token.reveal();
    if (token.empty() || transfer.head.status < 300) return;
    auto hide = [&token](std::string& text) {
      for (auto at = text.find(token); at != std::string::npos; at = text.find(token, at + 4))
        text.replace(at, token.size(), "****");
    };
    hide(transfer.body);
    for (auto& [name, value] : transfer.head.headers)
      hide(value);
  }

  void finish(std::unique_ptr<Transfer> transfer, CURLcode code) {
    if (code == CURLE_OK && transfer->head.status == 0) complete_head(*transfer);
    if (code == CURLE_OK && has_sink(*transfer))  // an empty body still has a head to judge
      if (auto begun = begin_sink(*transfer); !begun) {
        transfer->failure = std::move(begun).error();
        code = CURLE_WRITE_ERROR;
      }
    bool moved = code == CURLE_OK && is_redirect(transfer->head.status);
    if (moved && follow(transfer)) return;
    if (transfer->request.trace)
      transfer->request.trace(
          {.url = transfer->url, .hops = transfer->hops, .failure = failed_step(*transfer, code)});
    idle_.push_back(std::move(transfer->easy));
    hide_token(*transfer);
    auto done = std::move(transfer->done);
    if (code != CURLE_OK || transfer->failure) {
      auto step = "fetching " + display_url(transfer->url);
      done(fail(transfer_error(*transfer, code).while_doing(std::move(step))));
      return;
    }
    done(HttpResponse{
        .head = std::move(transfer->head), .body = std::move(transfer->body), .hops = transfer->hops});
  }

  static bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  }

  /// Queues the next hop; false, with the failure set, if it must not be taken.
  bool follow(std::unique_ptr<Transfer>& transfer) {
    auto location = transfer->head.header("location");
    if (!location || transfer->hops >= kMaxHops) {
      transfer->failure =
          Error(Errc::network, location ? "more than 20 redirects" : "a redirect without an address");
      return false;
    }
    auto target = redirect_target(transfer->url, *location);
    if (!target) {
      transfer->failure = std::move(target).error();
      return false;
    }
    if (origin_of(*target).value_or(Origin{}) != origin_of(transfer->url).value_or(Origin{}))
      transfer->authorised = false;
    idle_.push_back(std::move(transfer->easy));
    transfer->url = std::move(*target);
    ++transfer->hops;
    ++counters_.redirects;
    transfer->head = {};
    transfer->header_bytes = 0;
    transfer->body.clear();
    waiting_.push_front(std::move(transfer));  // before new work: its connection is warm
    return true;
  }

  HttpOptions options_;
  Origin origin_;
  CURLM* multi_;
  std::deque<std::unique_ptr<Transfer>> waiting_;
  std::vector<std::unique_ptr<Transfer>> active_;
  std::vector<EasyHandle> idle_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;
  std::mutex posts_mutex_;
  std::vector<std::function<void()>> posts_;
  std::size_t expected_posts_ = 0;
  HttpCounters counters_;
  std::optional<std::chrono::microseconds> distance_;
};

}  // namespace

std::unique_ptr<HttpClient> make_http_client(HttpOptions options) {
  return std::make_unique<CurlClient>(std::move(options));
}

}  // namespace kernels::hub
