#include "kernels/hub/server.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_connection.h"
#include "server_routes.h"

namespace kernels::hub {

namespace {

/// The connection that this thread serves. The library hands its stream to no callback.
thread_local Connection* current_connection = nullptr;

/// Connections that may wait for a thread without starving the files that are being sent of descriptors.
std::size_t max_waiting_connections() {
  constexpr std::size_t kMost = 8192;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 64;
  return std::clamp<std::size_t>(limit.rlim_cur / 4, 64, kMost);
}

std::size_t max_connection_threads(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::min<std::size_t>(wanted, 64);
  // Each needs its socket and, for a while, one file.
  return std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(limit.rlim_cur / 4, 8));
}

ServerRequest to_request(const httplib::Request& request) {
  auto header = [&](const char* name) { return request.get_header_value(name); };
  return {.method = request.method,
          .target = request.target,
          .host = header("Host"),
          .authorization = header("Authorization"),
          .range = header("Range"),
          .if_range = header("If-Range"),
          .if_none_match = header("If-None-Match"),
          .trace_id = header("X-Amzn-Trace-Id"),
          .content_type = header("Content-Type"),
          .body = {}};
}

void send_text(std::string text, const std::string& type, httplib::Response& response) {
  // A provider, because the library compresses plain bodies for clients that would take it: too slow here.
  auto shared = std::make_shared<const std::string>(std::move(text));
  response.set_content_provider(shared->size(), type,
                                [shared](std::size_t offset, std::size_t length, auto& sink) {
                                  return sink.write(shared->data() + offset, length);
                                });
}

void send_file(const FilePart& part, const std::string& type, httplib::Response& response) {
  response.set_content_provider(part.length, type,
                                [part](std::size_t offset, std::size_t length, auto& sink) {
                                  constexpr std::size_t kPiece = 4 << 20;
                                  if (current_connection == nullptr) return false;
                                  current_connection->set_file(part.fd->get(), part.offset + offset);
                                  return sink.write(Connection::file_bytes(), std::min(length, kPiece));
                                });
}

void fill_response(const ServerAnswer& answer, httplib::Response& response) {
  response.status = answer.status;
  for (const auto& [name, value] : answer.headers)
    response.set_header(name, value);
  if (answer.status == 304) return;
  if (const auto* text = std::get_if<std::string>(&answer.body)) {
    if (!text->empty()) send_text(*text, answer.content_type, response);
    return;
  }
  const auto& part = std::get<FilePart>(answer.body);
  if (part.length > 0) {
    send_file(part, answer.content_type, response);
  } else {
    response.set_header("Content-Type", answer.content_type);
  }
}

/// The library's server, with our own connections under it.
class Listener : public httplib::Server {
 public:
  Listener(Router& router, const ServeOptions& options, ServerPlace::Role role)
      : router_(router), options_(options) {
    place_.role = role;
    auto threads = max_connection_threads(options.max_threads);
    new_task_queue = [this, threads] {
      return new GrowingPool(threads, max_waiting_connections(), waiting_);
    };
    set_tcp_nodelay(true);
    // Without SO_REUSEPORT, which the library sets and which lets two servers share a port unnoticed.
    set_socket_options([](socket_t socket) {
      int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    set_payload_max_length(4 << 20);
    set_keep_alive_max_count(100000);
    set_pre_routing_handler(
        [this](const auto& request, auto& response) { return before_body(request, response); });
    Post(".*", [this](const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader& reader) { with_body(request, response, reader); });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty() && !response.has_header("X-Request-Id"))
        response.set_content("{\"error\":\"The request cannot be read\"}", "application/json; charset=utf-8");
    });
    set_logger([this](const httplib::Request& request, const httplib::Response& response) {
      log_access(request, response);
    });
  }

  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() override {
    end();
    int bound = svr_sock_.exchange(-1);  // bound, but never run
    if (bound >= 0) ::close(bound);
  }

  /// Returns the port, or nothing.
  std::optional<int> bind() {
    int port = place_.role == ServerPlace::Role::hub ? options_.port : 0;
    if (port == 0)
      port = bind_to_any_port(options_.host);
    else if (!bind_to_port(options_.host, port))
      port = -1;
    if (port <= 0) return std::nullopt;
    // The library listens with a queue of five; thousands may knock at once.
    ::listen(svr_sock_, 4096);
    place_.origin = "http://" + display_host() + ":" + std::to_string(port);
    return port;
  }

  const std::string& origin() const { return place_.origin; }
  void set_cdn_port(int port) { place_.cdn_port = port; }

  void run() {
    thread_ = std::thread([this] { listen_after_bind(); });
    // `stop` is lost if it comes before the listening thread has begun.
    while (!is_running())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void end() {
    if (!thread_.joinable()) return;
    cut_connections();
    stop();
    cut_connections();
    thread_.join();
  }

 private:
  void cut_connections() {
    stopping_ = true;
    std::scoped_lock lock(mutex_);
    for (int socket : open_)
      ::shutdown(socket, SHUT_RDWR);
  }

  std::string display_host() const {
    return options_.host.find(':') == std::string::npos ? options_.host : "[" + options_.host + "]";
  }

  HandlerResponse before_body(const httplib::Request& request, httplib::Response& response) {
    auto* connection = current_connection;
    bool has_length = request.has_header("Content-Length");
    bool is_chunked = request.has_header("Transfer-Encoding");
    // Two ways to say where the body ends are an attempt to hide a second request.
    bool is_ambiguous = (has_length && is_chunked) || request.get_header_value_count("Content-Length") > 1 ||
                        request.get_header_value_count("Transfer-Encoding") > 1;
    constexpr std::size_t kLongestPostTarget = 1024;  // it is matched by a recursive pattern
    bool is_post = request.method == "POST" && request.target.size() <= kLongestPostTarget;
    // Without a length there is no body; the library would wait for one.
    if (is_post && !is_ambiguous && (has_length || is_chunked)) return HandlerResponse::Unhandled;
    if ((has_length || is_chunked) && connection != nullptr) connection->close_after_answer();
    if (is_ambiguous || (request.method == "POST" && !is_post)) {
      response.status = is_ambiguous ? 400 : 414;
      return HandlerResponse::Handled;
    }
    fill_response(router_.answer(to_request(request), place_), response);
    return HandlerResponse::Handled;
  }

  void with_body(const httplib::Request& request, httplib::Response& response,
                 const httplib::ContentReader& reader) {
    auto own = to_request(request);
    bool complete = reader([&](const char* data, std::size_t size) {
      own.body.append(data, size);
      return true;
    });
    if (!complete && current_connection != nullptr) current_connection->close_after_answer();
    if (complete) fill_response(router_.answer(own, place_), response);
  }

  void log_access(const httplib::Request& request, const httplib::Response& response) const {
    if (!options_.access_log) return;
    auto length = response.get_header_value("Content-Length");
    std::uint64_t bytes =
        request.method == "HEAD" || length.empty() ? 0 : std::strtoull(length.c_str(), nullptr, 10);
    options_.access_log(
        {.method = request.method, .target = request.target, .status = response.status, .bytes = bytes});
  }

  bool process_and_close_socket(socket_t socket) override {
    {
      std::scoped_lock lock(mutex_);
      open_.insert(socket);
    }
    Connection connection(socket, {});
    current_connection = &connection;
    serve(connection);
    current_connection = nullptr;
    std::scoped_lock lock(mutex_);
    open_.erase(socket);
    ::close(socket);
    return true;
  }

  /// The library's step for one request, whose parameters differ between its versions.
  template <class Self, class Prepare>
  static bool answer_next(Self& self, Connection& connection, bool& closed, Prepare& prepare) {
    bool is_last = self.waiting_ > 0;
    if constexpr (requires { self.process_request(connection, is_last, closed, prepare); })
      return self.process_request(connection, is_last, closed, prepare);
    else
      return self.process_request(connection, "", 0, "", 0, is_last, closed, prepare);
  }

  void serve(Connection& connection) {
    auto prepare = [&](httplib::Request& request) {
      request.ranges.clear();  // the routes do that
      connection.begin_body();
    };
    for (bool first = true;; first = false) {
      // A connection that only waits gives its thread to one that has none.
      auto give_up = [&] { return stopping_ || (!first && waiting_ > 0); };
      if (!connection.wait_for_request(give_up)) return;
      connection.begin_head();
      bool closed = false;
      bool answered = answer_next(*this, connection, closed, prepare);
      if (!connection.flush() || stopping_) return;
      if (answered && !closed && !connection.is_closing()) continue;
      connection.linger();
      return;
    }
  }

  Router& router_;
  const ServeOptions& options_;
  ServerPlace place_;
  std::atomic<std::size_t> waiting_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::set<int> open_;
  std::thread thread_;
};

}  // namespace

struct HubServer::Impl {
  Impl(std::shared_ptr<const RepositorySource> source, ServeOptions serve_options)
      : options(std::move(serve_options)),
        router(std::move(source), options),
        hub(router, options, ServerPlace::Role::hub),
        cdn(router, options, ServerPlace::Role::cdn) {}

  ServeOptions options;
  Router router;
  Listener hub;
  Listener cdn;  ///< listens only if large files are redirected
  int port = 0;
};

HubServer::HubServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HubServer::~HubServer() {
  stop();
}
int HubServer::port() const {
  return impl_->port;
}
std::string HubServer::url() const {
  return impl_->hub.origin();
}

static Error cannot_listen(const ServeOptions& options) {
  return Error(Errc::io, "cannot listen on `" + options.host + ":" + std::to_string(options.port) + "`")
      .with_hint("another program may use the port; 0 takes any free one");
}

Result<std::unique_ptr<HubServer>> HubServer::start(std::shared_ptr<const RepositorySource> source,
                                                    ServeOptions options) {
  auto impl = std::make_unique<Impl>(std::move(source), std::move(options));
  auto port = impl->hub.bind();
  if (!port) return fail(cannot_listen(impl->options));
  impl->port = *port;
  if (impl->options.large_files == Delivery::redirect) {
    auto cdn_port = impl->cdn.bind();
    if (!cdn_port) return fail(cannot_listen(impl->options));
    impl->hub.set_cdn_port(*cdn_port);
    impl->cdn.run();
  }
  impl->hub.run();
  return std::unique_ptr<HubServer>(new HubServer(std::move(impl)));
}

void HubServer::stop() {
  impl_->hub.end();
  impl_->cdn.end();
}

}  // namespace kernels::hub
