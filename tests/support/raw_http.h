#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace kernels::test {

/// One answer, as it came over the wire. Header names are in lower case; of repeated ones the last counts.
struct RawAnswer {
  int status = 0;  ///< 0: the connection ended before a status line
  std::map<std::string, std::string> headers;
  std::string head;  ///< status line and headers, unchanged
  std::string body;

  std::string header(const std::string& lower_case_name) const;
};

/// A TCP connection to 127.0.0.1 that sends exactly what it is told, for tests of servers.
class RawConnection {
 public:
  explicit RawConnection(int port);
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  ~RawConnection();

  bool is_open() const { return socket_ >= 0; }
  /// False once the peer no longer takes data.
  bool send(std::string_view bytes);
  /// Reads one answer; `method` decides whether a body follows.
  RawAnswer receive(std::string_view method = "GET");
  /// Waits for the peer to close. False if it sends something or the time is over.
  bool closed_within(std::chrono::milliseconds time);

 private:
  bool fill();
  int socket_ = -1;
  std::string buffer_;
};

/// One request on a connection of its own. `headers` are whole lines, each ended by "\r\n".
RawAnswer request(int port, std::string_view method, std::string_view target, std::string_view headers = "",
                  std::string_view body = "");
RawAnswer get(int port, std::string_view target, std::string_view headers = "");

}  // namespace kernels::test
