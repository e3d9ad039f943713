#include "support/raw_http.h"

#include <algorithm>
#include <cctype>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kernels::test {

std::string RawAnswer::header(const std::string& lower_case_name) const {
  auto it = headers.find(lower_case_name);
  return it == headers.end() ? "" : it->second;
}

RawConnection::RawConnection(int port) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  timeval wait{.tv_sec = 30, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(socket_);
    socket_ = -1;
  }
}

RawConnection::~RawConnection() {
  if (socket_ >= 0) ::close(socket_);
}

bool RawConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawConnection::fill() {
  std::string piece(65536, '\0');
  auto got = ::recv(socket_, piece.data(), piece.size(), 0);
  if (got <= 0) return false;
  buffer_.append(piece, 0, static_cast<std::size_t>(got));
  return true;
}

static void parse_head(RawAnswer& answer) {
  if (answer.head.size() > 12) answer.status = std::atoi(answer.head.c_str() + 9);
  for (std::size_t line = answer.head.find("\r\n"); line != std::string::npos;) {
    auto end = answer.head.find("\r\n", line + 2);
    auto text = answer.head.substr(line + 2, end == std::string::npos ? end : end - line - 2);
    auto colon = text.find(": ");
    if (colon != std::string::npos) {
      auto name = text.substr(0, colon);
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      answer.headers[name] = text.substr(colon + 2);
    }
    line = end;
  }
}

RawAnswer RawConnection::receive(std::string_view method) {
  RawAnswer answer;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return answer;
  answer.head = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  parse_head(answer);
  auto length = answer.header("content-length");
  bool has_body = method != "HEAD" && answer.status != 304 && answer.status != 204;
  std::size_t wanted = !has_body ? 0 : length.empty() ? std::string::npos : std::stoull(length);
  while (buffer_.size() < wanted && fill()) {
  }
  answer.body = buffer_.substr(0, wanted);
  buffer_.erase(0, answer.body.size());
  return answer;
}

bool RawConnection::closed_within(std::chrono::milliseconds time) {
  pollfd item{.fd = socket_, .events = POLLIN, .revents = 0};
  if (!buffer_.empty() || ::poll(&item, 1, static_cast<int>(time.count())) <= 0) return false;
  char byte = 0;
  return ::recv(socket_, &byte, 1, 0) <= 0;
}

RawAnswer request(int port, std::string_view method, std::string_view target, std::string_view headers,
                  std::string_view body) {
  RawConnection connection(port);
  std::string text = std::string(method) + " " + std::string(target) +
                     " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\nConnection: close\r\n" +
                     std::string(headers);
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  if (!connection.send(text + "\r\n" + std::string(body))) return {};
  return connection.receive(method);
}

RawAnswer get(int port, std::string_view target, std::string_view headers) {
  return request(port, "GET", target, headers);
}

}  // namespace kernels::test
