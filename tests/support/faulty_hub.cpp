#include "support/faulty_hub.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <regex>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/raw_http.h"

namespace kernels::test {

namespace lie {
Lie status(int code, Headers headers, std::string body) {
  return {.kind = Lie::Kind::replace, .status = code, .headers = std::move(headers), .body = std::move(body)};
}
Lie rate_limited(int seconds) {
  return status(429, {{"Retry-After", std::to_string(seconds)}});
}
Lie rate_limited_window(int seconds) {
  return status(429, {{"RateLimit", "\"resolvers\";r=0;t=" + std::to_string(seconds)},
                      {"RateLimit-Policy", "\"fixed window\";\"resolvers\";q=3000;w=300"}});
}
Lie cut_after(std::uint64_t body_bytes) {
  return {.kind = Lie::Kind::cut, .count = body_bytes};
}
Lie truncated_to(std::uint64_t body_bytes) {
  return {.kind = Lie::Kind::truncate, .count = body_bytes};
}
Lie shortened_to(std::uint64_t body_bytes) {
  return {.kind = Lie::Kind::shorten, .count = body_bytes};
}
Lie flipped_at(std::uint64_t body_offset) {
  return {.kind = Lie::Kind::flip, .count = body_offset};
}
Lie longer_by(std::uint64_t bytes) {
  return {.kind = Lie::Kind::extend, .count = bytes};
}
Lie endless_chunks() {
  return {.kind = Lie::Kind::endless};
}
Lie chunks_of(std::uint64_t bytes) {
  return {.kind = Lie::Kind::endless, .count = bytes};
}
Lie byte_by_byte(std::chrono::microseconds interval) {
  return {.kind = Lie::Kind::trickle, .interval = interval};
}
Lie range_ignored() {
  return {.kind = Lie::Kind::ignore_range};
}
Lie wrong_content_range(std::string value) {
  return header("Content-Range", std::move(value));
}
Lie redirect(int code, std::string location) {
  return status(code, {{"Location", std::move(location)}}, "Redirecting");
}
Lie redirect_loop() {
  return redirect(302, "{url}{target}");
}
Lie duplicate_etag(std::string other) {
  return {.kind = Lie::Kind::edit_headers, .headers = {{"ETag", std::move(other)}}};
}
Lie without_header(std::string name) {
  return {.kind = Lie::Kind::edit_headers, .removed = {std::move(name)}};
}
Lie header(std::string name, std::string value) {
  return {.kind = Lie::Kind::edit_headers, .headers = {{name, std::move(value)}}, .removed = {name}};
}
Lie huge_header(std::uint64_t bytes) {
  return header("X-Huge", std::string(bytes, 'h'));
}
Lie gzip_encoded() {
  return {.kind = Lie::Kind::gzip};
}
Lie chunks_and_length() {
  return {.kind = Lie::Kind::two_lengths};
}
Lie stalled() {
  return {.kind = Lie::Kind::stall};
}
Lie stalled_after(std::uint64_t body_bytes) {
  return {.kind = Lie::Kind::stall_in_body, .count = body_bytes};
}
Lie json_garbage(std::string body) {
  return status(200, {{"Content-Type", "application/json; charset=utf-8"}}, std::move(body));
}
}  // namespace lie

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string replace_all(std::string text, std::string_view what, std::string_view with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

/// A gzip file whose blocks are stored, not compressed: what a decoder accepts without a compressor here.
std::string gzip(std::string_view content) {
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  auto append = [&](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      out += static_cast<char>(value >> (8 * i) & 0xffU);
  };
  constexpr std::size_t kBlock = 65535;
  std::size_t at = 0;
  do {
    auto part = content.substr(at, kBlock);
    at += part.size();
    append(at >= content.size() ? 1 : 0, 1);
    append(static_cast<std::uint32_t>(part.size()), 2);
    append(~static_cast<std::uint32_t>(part.size()), 2);
    out += part;
  } while (at < content.size());
  std::uint32_t crc = 0xffffffffU;
  for (char c : content) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0);
  }
  append(~crc, 4);
  append(static_cast<std::uint32_t>(content.size()), 4);
  return out;
}

/// An answer as it will be sent: lines can be repeated, dropped and wrong.
struct Message {
  int status = 0;
  std::string status_line = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};

  void remove(std::string_view name) {
    std::erase_if(headers, [&](const auto& line) { return lower(line.first) == lower(name); });
  }
  void set(const std::string& name, const std::string& value) {
    remove(name);
    headers.emplace_back(name, value);
  }
  std::string head() const {
    std::string out = status_line + "\r\n";
    for (const auto& [name, value] : headers)
      out += name + ": " + value + "\r\n";
    return out + "\r\n";
  }
};

Message to_message(RawAnswer answer) {
  Message out{.status = answer.status, .status_line = answer.head.substr(0, answer.head.find("\r\n"))};
  for (std::size_t line = answer.head.find("\r\n"); line != std::string::npos;) {
    auto end = answer.head.find("\r\n", line + 2);
    auto text = answer.head.substr(line + 2, end == std::string::npos ? end : end - line - 2);
    auto colon = text.find(": ");
    if (colon != std::string::npos) out.headers.emplace_back(text.substr(0, colon), text.substr(colon + 2));
    line = end;
  }
  out.body = std::move(answer.body);
  return out;
}

}  // namespace

std::string SeenRequest::header(std::string_view name) const {
  auto it = std::ranges::find(headers, name, [](const auto& line) { return std::string_view(line.first); });
  return it == headers.end() ? "" : it->second;
}

/// One client connection.
class FaultyHub::Session {
 public:
  Session(FaultyHub& hub, int socket, int number) : hub_(hub), socket_(socket), number_(number) {}

  void run() {
    while (read_request()) {
      {
        std::scoped_lock lock(hub_.mutex_);
        place_ = hub_.forgotten_ + hub_.seen_.size();
        hub_.seen_.push_back(request_);
      }
      const auto* lie = hub_.lie_for(request_);
      if (lie != nullptr) note([](SeenRequest& seen) { seen.lied = true; });
      if (!(lie != nullptr ? answer_with(*lie) : pass_on())) return;
      if (lower(request_.header("connection")) == "close") return;
    }
  }

 private:
  template <class Change>
  void note(const Change& change) {
    std::scoped_lock lock(hub_.mutex_);
    if (place_ >= hub_.forgotten_) change(hub_.seen_[place_ - hub_.forgotten_]);
  }

  bool fill() {
    std::array<char, 65536> piece{};
    auto got = ::recv(socket_, piece.data(), piece.size(), 0);
    if (got > 0) buffer_.append(piece.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  bool read_request() {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return false;
    Message head = to_message({.status = 0, .headers = {}, .head = buffer_.substr(0, end), .body = {}});
    buffer_.erase(0, end + 4);
    request_ = {};
    request_.connection = number_;
    request_.method = head.status_line.substr(0, head.status_line.find(' '));
    auto rest = head.status_line.substr(std::min(request_.method.size() + 1, head.status_line.size()));
    request_.target = rest.substr(0, rest.find(' '));
    for (auto& [name, value] : head.headers)
      request_.headers.emplace_back(lower(name), value);
    auto length = request_.header("content-length");
    std::size_t wanted = length.empty() ? 0 : std::strtoull(length.c_str(), nullptr, 10);
    while (buffer_.size() < wanted)
      if (!fill()) return false;
    request_.body = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
    return true;
  }

  Message ask_upstream(bool with_range) {
    RawConnection upstream(hub_.upstream_port_);
    std::string text = request_.method + " " + request_.target + " HTTP/1.1\r\n";
    for (const auto& [name, value] : request_.headers)
      if (name != "connection" && (with_range || name != "range")) text += name + ": " + value + "\r\n";
    upstream.send(text + "connection: close\r\n\r\n" + request_.body);
    auto message = to_message(upstream.receive(request_.method));
    message.remove("Connection");
    return message;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  bool send_head(const Message& message) {
    note([&](SeenRequest& seen) { seen.status = message.status; });
    return send(message.head());
  }

  /// In small pieces, each counted before it goes: a client that has the bytes finds them counted.
  bool send_body(std::string_view bytes) {
    constexpr std::size_t kPiece = 64 << 10;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(kPiece, bytes.size()))) {
      auto piece = bytes.substr(0, kPiece);
      note([&](SeenRequest& seen) { seen.body_bytes += piece.size(); });
      if (!send(piece)) return false;
    }
    return true;
  }

  bool send_whole(const Message& message) { return send_head(message) && send_body(message.body); }

  bool pass_on() {
    auto message = ask_upstream(true);
    return message.status != 0 && send_whole(message);
  }

  std::string fill_in(std::string text) const {
    return replace_all(replace_all(std::move(text), "{target}", request_.target), "{url}", hub_.url());
  }

  /// Returns whether the connection goes on.
  bool answer_with(const Lie& lie) {
    switch (lie.kind) {
      case Lie::Kind::replace:
        return send_whole(made_up(lie));
      case Lie::Kind::stall:
        wait_for_end();
        return false;
      case Lie::Kind::ignore_range:
        return send_whole(ask_upstream(false));
      default:
        return distort(lie, ask_upstream(true));
    }
  }

  Message made_up(const Lie& lie) const {
    Message out{.status = lie.status, .status_line = "HTTP/1.1 " + std::to_string(lie.status) + " Made Up"};
    for (const auto& [name, value] : lie.headers)
      out.headers.emplace_back(name, fill_in(value));
    auto body = fill_in(lie.body);
    out.headers.emplace_back("Content-Length", std::to_string(body.size()));
    if (request_.method != "HEAD") out.body = body;
    return out;
  }

  bool distort(const Lie& lie, Message message) {
    auto part = std::string_view(message.body).substr(0, lie.count);
    switch (lie.kind) {
      case Lie::Kind::cut:
        if (send_head(message) && send_body(part)) reset();
        return false;
      case Lie::Kind::truncate:
        send_head(message) && send_body(part);
        return false;
      case Lie::Kind::stall_in_body:
        if (send_head(message) && send_body(part)) wait_for_end();
        return false;
      case Lie::Kind::shorten:
        message.body = std::string(part);
        message.set("Content-Length", std::to_string(part.size()));
        return send_whole(message);
      case Lie::Kind::flip:
        if (lie.count < message.body.size())
          message.body[lie.count] = static_cast<char>(~message.body[lie.count]);
        return send_whole(message);
      case Lie::Kind::extend:
        send_whole(message) && send_body(std::string(lie.count, '+'));
        return false;
      case Lie::Kind::endless:
        return send_endless(std::move(message), lie.count);
      case Lie::Kind::two_lengths: {
        message.set("Transfer-Encoding", "chunked");
        std::array<char, 32> size{};
        std::snprintf(size.data(), size.size(), "%zx\r\n", message.body.size());
        return send_head(message) && send_body(size.data() + message.body + "\r\n0\r\n\r\n");
      }
      case Lie::Kind::trickle:
        return trickle(lie, message);
      case Lie::Kind::gzip:
        if (request_.method != "HEAD") message.body = gzip(message.body);
        message.set("Content-Encoding", "gzip");
        message.set("Content-Length", std::to_string(message.body.size()));
        return send_whole(message);
      default:
        for (const auto& name : lie.removed)
          message.remove(name);
        for (const auto& [name, value] : lie.headers)
          message.headers.emplace_back(name, fill_in(value));
        return send_whole(message);
    }
  }

  bool send_endless(Message message, std::uint64_t count) {
    message.remove("Content-Length");
    message.set("Transfer-Encoding", "chunked");
    std::string chunk = "10000\r\n" + std::string(0x10000, '#') + "\r\n";
    if (!send_head(message)) return false;
    for (std::uint64_t sent = 0; count == 0 || sent < count; sent += 0x10000)
      if (hub_.wait_or_stop(std::chrono::milliseconds(0)) || !send_body(chunk)) return false;
    return send_body("0\r\n\r\n");
  }

  bool trickle(const Lie& lie, const Message& message) {
    if (!send_head(message)) return false;
    for (char byte : message.body)
      if (hub_.wait_or_stop(lie.interval) || !send_body({&byte, 1})) return false;
    return true;
  }

  void wait_for_end() {
    pollfd item{.fd = socket_, .events = POLLRDHUP, .revents = 0};
    while (!hub_.wait_or_stop(std::chrono::milliseconds(0)) && ::poll(&item, 1, 50) == 0) {
    }
  }

  void reset() {
    // What was sent must arrive first: a reset makes the peer forget what it has not read.
    hub_.wait_or_stop(std::chrono::milliseconds(50));
    linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }

  FaultyHub& hub_;
  int socket_;
  int number_;
  std::string buffer_;
  SeenRequest request_;
  std::size_t place_ = 0;
};

FaultyHub::FaultyHub(int upstream_port) : upstream_port_(upstream_port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 1024) != 0 ||
      ::getsockname(listener_, generic, &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

FaultyHub::~FaultyHub() {
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
    for (int socket : open_)
      ::shutdown(socket, SHUT_RDWR);
  }
  stopped_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (auto& session : sessions_)
    session.join();
  ::close(listener_);
}

void FaultyHub::accept_all() {
  for (int number = 1;; ++number) {
    int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    std::scoped_lock lock(mutex_);
    if (stopping_) {
      ::close(socket);
      return;
    }
    int on = 1;  // head and body go one by one: without this each answer waits for an acknowledgement
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    open_.insert(socket);
    sessions_.emplace_back([this, socket, number] { serve(socket, number); });
  }
}

void FaultyHub::serve(int socket, int number) {
  Session(*this, socket, number).run();
  std::scoped_lock lock(mutex_);
  open_.erase(socket);
  ::close(socket);
}

bool FaultyHub::wait_or_stop(std::chrono::microseconds time) {
  std::unique_lock lock(mutex_);
  return stopped_.wait_for(lock, time, [this] { return stopping_; });
}

const Lie* FaultyHub::lie_for(const SeenRequest& request) {
  std::scoped_lock lock(mutex_);
  for (auto& active : faults_) {
    const auto& fault = active->fault;
    if (!fault.method.empty() && fault.method != request.method) continue;
    if (!std::regex_search(request.target, std::regex(fault.path_pattern))) continue;
    int number = ++active->matches;
    if (number >= fault.first && number - fault.first < fault.times) return &fault.lie;
  }
  return nullptr;
}

void FaultyHub::add(Fault fault) {
  std::scoped_lock lock(mutex_);
  faults_.push_back(std::make_unique<Active>(Active{.fault = std::move(fault)}));
}

void FaultyHub::clear_faults() {
  std::scoped_lock lock(mutex_);
  std::ranges::move(faults_, std::back_inserter(retired_));
  faults_.clear();
}

std::vector<SeenRequest> FaultyHub::seen() const {
  std::scoped_lock lock(mutex_);
  return seen_;
}

std::size_t FaultyHub::count(std::string_view method, const std::string& path_pattern) const {
  std::regex pattern(path_pattern);
  auto requests = seen();
  return static_cast<std::size_t>(std::ranges::count_if(requests, [&](const SeenRequest& request) {
    return (method.empty() || request.method == method) && std::regex_search(request.target, pattern);
  }));
}

void FaultyHub::forget_seen() {
  std::scoped_lock lock(mutex_);
  forgotten_ += seen_.size();
  seen_.clear();
}

}  // namespace kernels::test
