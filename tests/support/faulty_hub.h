#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace kernels::test {

/// One thing that a Hub, a CDN or a proxy on the way can do wrong. Made by the functions of `lie`.
struct Lie {
  enum class Kind {
    replace,        ///< an answer of its own: `status`, `headers`, `body`
    cut,            ///< the connection is reset after `count` bytes of the body
    truncate,       ///< the connection ends in order after `count` bytes, fewer than declared
    shorten,        ///< only `count` bytes, and declared so
    flip,           ///< the right size, but the byte at `count` is wrong
    extend,         ///< `count` bytes more than declared
    endless,        ///< chunks without end, or `count` bytes of them
    trickle,        ///< one byte of the body every `interval`
    ignore_range,   ///< 200 and the whole file to a Range
    edit_headers,   ///< the right body; headers named in `removed` are dropped, `headers` are added
    two_lengths,    ///< chunks, and beside them a Content-Length
    gzip,           ///< compressed, although identity was asked for
    stall,          ///< no answer at all
    stall_in_body,  ///< silence after `count` bytes of the body
  };
  Kind kind = Kind::stall;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::vector<std::string> removed = {};
  std::string body = {};
  std::uint64_t count = 0;
  std::chrono::microseconds interval{0};
};

/// In header values and bodies `{target}` stands for the target of the request, `{url}` for this server.
namespace lie {
using Headers = std::vector<std::pair<std::string, std::string>>;
Lie status(int code, Headers headers = {}, std::string body = "{\"error\":\"made up\"}");
Lie rate_limited(int seconds);         ///< 429 with Retry-After
Lie rate_limited_window(int seconds);  ///< 429 with RateLimit: r=0
Lie cut_after(std::uint64_t body_bytes);
Lie truncated_to(std::uint64_t body_bytes);
Lie shortened_to(std::uint64_t body_bytes);  ///< also a 206 that holds less than its Content-Range says
Lie flipped_at(std::uint64_t body_offset);
Lie longer_by(std::uint64_t bytes);
Lie endless_chunks();
Lie chunks_of(std::uint64_t bytes);  ///< as many, whatever was declared
Lie byte_by_byte(std::chrono::microseconds interval = std::chrono::seconds(1));
Lie range_ignored();
Lie wrong_content_range(std::string value);
Lie redirect(int code, std::string location);  ///< to `http://…`, another port, `file:///…`
Lie redirect_loop();
Lie duplicate_etag(std::string other);
Lie without_header(std::string name);
Lie header(std::string name, std::string value);  ///< replaces one: a wrong Link, size, hash or encoding
Lie huge_header(std::uint64_t bytes = 1U << 20U);
Lie gzip_encoded();
Lie chunks_and_length();
Lie stalled();
Lie stalled_after(std::uint64_t body_bytes);
Lie json_garbage(std::string body = "[{\"path\": ");
}  // namespace lie

/// Which requests are lied to: the `first`th one that matches and those after it, `times` in all.
struct Fault {
  static constexpr int kAlways = 1 << 30;
  std::string method = {};        ///< empty: any
  std::string path_pattern = {};  ///< regular expression, searched in the target as sent
  int first = 1;
  int times = kAlways;
  Lie lie = {};
};

/// A request as it arrived, and what was answered.
struct SeenRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case, in order
  std::string body;
  int connection = 0;  ///< counts from 1
  bool lied = false;
  int status = 0;                ///< 0: none was sent
  std::uint64_t body_bytes = 0;  ///< sent

  /// The value of the first header of this (lower-case) name, or nothing.
  std::string header(std::string_view name) const;
};

/// An HTTP/1.1 proxy on loopback in front of a real server that lies on command. Without a fault for a
/// request it passes both sides on unchanged. Ends all its threads when destroyed.
class FaultyHub {
 public:
  explicit FaultyHub(int upstream_port);
  FaultyHub(const FaultyHub&) = delete;
  FaultyHub& operator=(const FaultyHub&) = delete;
  ~FaultyHub();

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Earlier faults are asked first. Matches are counted from now on.
  void add(Fault fault);
  void clear_faults();

  /// All requests so far, in order of arrival. An answer that is under way has its bytes counted so far.
  std::vector<SeenRequest> seen() const;
  std::size_t count(std::string_view method, const std::string& path_pattern) const;
  void forget_seen();

 private:
  struct Active {
    Fault fault;
    int matches = 0;
  };
  class Session;

  void accept_all();
  void serve(int socket, int number);
  const Lie* lie_for(const SeenRequest& request);
  bool wait_or_stop(std::chrono::microseconds time);

  int upstream_port_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Active>> faults_;
  std::vector<std::unique_ptr<Active>> retired_;  ///< still read by sessions under way
  std::vector<SeenRequest> seen_;
  std::size_t forgotten_ = 0;  ///< requests that were dropped from `seen_`
  std::set<int> open_;
  std::vector<std::thread> sessions_;
  std::thread acceptor_;
};

}  // namespace kernels::test
