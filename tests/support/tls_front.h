#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace kernels::test {

/// Accepts connections on loopback, each on a thread of its own, until it is destroyed.
class Listener {
 public:
  explicit Listener(std::function<void(int socket)> serve);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();
  int port() const { return port_; }

 private:
  void accept_all();
  std::function<void(int)> serve_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// What is wrong with a server's certificate or its TLS; by default nothing.
struct TlsFaults {
  std::string host = "localhost";  ///< for whom the certificate is
  bool expired = false;
  bool self_signed = false;  ///< by itself instead of by the authority
  bool sha1 = false;         ///< signed over SHA-1
  bool only_tls_1_1 = false;
};

/// TLS on loopback in front of a plain server on loopback.
class TlsFront {
 public:
  explicit TlsFront(int plain_port, const TlsFaults& faults = {});
  TlsFront(const TlsFront&) = delete;
  TlsFront& operator=(const TlsFront&) = delete;
  ~TlsFront();
  std::string url() const { return "https://localhost:" + std::to_string(listener_->port()); }
  int port() const { return listener_->port(); }
  /// The certificate of the authority, PEM.
  const std::string& authority() const { return authority_; }

 private:
  struct Context;
  void serve(int socket);
  int plain_port_;
  std::string authority_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Listener> listener_;
};

/// An HTTP proxy that knows CONNECT, to this machine only, and keeps the heads of all requests.
class RecordingProxy {
 public:
  RecordingProxy();
  int port() const { return listener_.port(); }
  std::vector<std::string> heads() const;

 private:
  void serve(int socket);
  mutable std::mutex mutex_;
  std::vector<std::string> heads_;
  Listener listener_;
};

}  // namespace kernels::test
