#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/secret.h"
#include "kernels/hub/url.h"

namespace kernels::hub {

/// The bytes [first, last] of a file, both included, as in a Range header.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t size() const { return last - first + 1; }
};

/// Status and headers of an answer; header names in lower case.
struct ResponseHead {
  int status = 0;
  std::multimap<std::string, std::string> headers;
  std::string url;  ///< of the last hop

  /// The header's value; nothing if it is absent or given several times with different values.
  std::optional<std::string> header(const std::string& name) const;
  std::optional<std::uint64_t> content_length() const;
};

struct HttpResponse {
  ResponseHead head;
  std::string body;
  int hops = 0;  ///< redirects that were followed
};

/// Takes the body of a good answer (200 or 206) piece by piece instead of collecting it.
struct BodySink {
  /// Called once, before the first piece. An error ends the transfer and is its result.
  std::function<Status(const ResponseHead&)> begin;
  std::function<Status(std::span<const std::byte>)> data;
};

/// At which step a transfer failed.
enum class TransferFailure {
  none,     ///< there was an answer, whatever its status
  name,     ///< no address for the host's name
  proxy,    ///< the proxy has no address, or refuses
  connect,  ///< the host, or the proxy, does not take the connection
  tls,      ///< no secure connection: a certificate that is not trusted, a broken handshake
  timeout,  ///< no answer, or no progress, in time
  other,    ///< a broken or malformed answer, an address that must not be followed
};

/// How far a transfer came.
struct TransferTrace {
  std::string url;  ///< of the last hop, also where that is the one that failed
  int hops = 0;
  TransferFailure failure = TransferFailure::none;
};

struct HttpRequest {
  std::string url;
  std::optional<ByteRange> range = std::nullopt;
  std::optional<BodySink> sink = std::nullopt;  ///< none: the body is collected
  std::uint64_t max_body = 32ULL << 20;         ///< a collected body that is longer is refused as it arrives
  bool is_bulk = false;  ///< the answer is long and near: fewer, larger reads are worth their memory
  std::function<void(const TransferTrace&)> trace = {};  ///< called once, just before the result
};

/// What a transfer ended with: any answer of the server (also 404 or 503) is a response; an Error is the way
/// there.
using HttpDone = std::function<void(Result<HttpResponse>)>;

struct HttpOptions {
  std::string endpoint;  ///< the token is sent to this origin and no other
  Secret token;
  PlainHttp plain_http = PlainHttp::loopback_only;
  std::string user_agent;
  std::string ca_file;  ///< certificates to trust instead of the system's; empty: the system's
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds stall_timeout{30};
  std::size_t max_connections = 64;
};

/// Counters that do not depend on the machine: what a benchmark and a test can rely on.
struct HttpCounters {
  std::uint64_t requests = 0;
  std::uint64_t redirects = 0;
  std::uint64_t connections = 0;
  std::uint64_t body_bytes = 0;
};

/// Many transfers at once on the calling thread.
///
/// `start` queues a transfer; `run` drives all of them and those that their callbacks start, until none is
/// left. Redirects are followed here (at most 20): the token is dropped for good at the first change of
/// scheme, host or port, https never goes down to http, and plain http leaves this machine only if that is
/// allowed. HTTP/1.1 on several connections, which beats one HTTP/2 connection for bulk. Certificates are
/// checked, from TLS 1.2 on.
///
/// Errors of a transfer  network: no connection, timeout, broken or malformed answer; interrupted: stopped.
/// Threads  all calls from one thread, except `post`.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual void start(HttpRequest request, HttpDone done) = 0;
  /// Calls `action` from `run` when the time has come.
  virtual void after(std::chrono::milliseconds delay, std::function<void()> action) = 0;
  /// Announces one later `post`, so that `run` waits for it.
  virtual void expect_post() = 0;
  /// Hands `action` to the thread in `run`. May be called from any thread.
  virtual void post(std::function<void()> action) = 0;
  /// Returns when nothing is left, or with Errc::interrupted soon after a stop request; transfers that were
  /// under way then end with that error, without calling their `done`.
  virtual Status run(const std::stop_token& stop) = 0;
  virtual HttpCounters counters() const = 0;
  /// The smallest time in which a connection was made or an answer began; nothing before the first one. Tells
  /// far from near.
  virtual std::optional<std::chrono::microseconds> distance() const = 0;
};

std::unique_ptr<HttpClient> make_http_client(HttpOptions options);

}  // namespace kernels::hub
