#include "support/tls_front.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kernels::test {

namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Session = std::unique_ptr<SSL, Freer<SSL_free>>;
using SslContext = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connect_to(int port) {
  int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(port);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return socket;
  ::close(socket);
  return -1;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  auto* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

struct Issued {
  Key key;
  Certificate certificate;
};

/// A certificate of a new key, signed by `issuer`, or by itself.
Issued issue(const std::string& name, const TlsFaults& faults, const Issued* issuer, bool is_authority) {
  Issued out{.key = Key(EVP_EC_gen("P-256")), .certificate = Certificate(X509_new())};
  auto* certificate = out.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), is_authority ? 1 : 2);
  constexpr long kDay = 24L * 3600;
  X509_gmtime_adj(X509_getm_notBefore(certificate), -30 * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), faults.expired && !is_authority ? -kDay : 30 * kDay);
  X509_set_pubkey(certificate, out.key.get());
  auto* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate,
                       issuer != nullptr ? X509_get_subject_name(issuer->certificate.get()) : subject);
  add_extension(certificate, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!is_authority) add_extension(certificate, NID_subject_alt_name, "DNS:" + name);
  const auto* digest = faults.sha1 && !is_authority ? EVP_sha1() : EVP_sha256();
  if (X509_sign(certificate, issuer != nullptr ? issuer->key.get() : out.key.get(), digest) == 0)
    std::abort();
  return out;
}

std::string to_pem(X509* certificate) {
  std::unique_ptr<BIO, Freer<BIO_free_all>> memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  char* text = nullptr;
  auto size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

/// Carries bytes between a client, read and written by functions, and a plain socket.
template <class Read, class Write, class Pending>
void splice(int client, int upstream, const Read& read, const Write& write, const Pending& pending) {
  std::array<char, 16384> buffer{};
  for (;;) {
    std::array<pollfd, 2> ends = {
        {{.fd = client, .events = POLLIN, .revents = 0}, {.fd = upstream, .events = POLLIN, .revents = 0}}};
    bool is_waiting = pending() > 0;
    if (::poll(ends.data(), ends.size(), is_waiting ? 0 : -1) < 0) return;
    if (is_waiting || ends[0].revents != 0) {
      auto got = read(buffer.data(), buffer.size());
      if (got <= 0 || !send_all(upstream, {buffer.data(), static_cast<std::size_t>(got)})) return;
    }
    if (ends[1].revents != 0) {
      auto got = ::recv(upstream, buffer.data(), buffer.size(), 0);
      if (got <= 0 || !write(buffer.data(), static_cast<std::size_t>(got))) return;
    }
  }
}

}  // namespace

Listener::Listener(std::function<void(int)> serve) : serve_(std::move(serve)) {
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a peer that has gone
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 128) != 0 ||
      ::getsockname(listener_, generic, &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

Listener::~Listener() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    std::scoped_lock lock(mutex_);
    for (int socket : open_)
      ::shutdown(socket, SHUT_RDWR);
  }
  for (auto& thread : threads_)
    thread.join();
  for (int socket : open_)
    ::close(socket);
  ::close(listener_);
}

void Listener::accept_all() {
  while (!stopping_) {
    int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    std::scoped_lock lock(mutex_);
    open_.push_back(socket);  // closed at the end, so that no number is used twice
    threads_.emplace_back([this, socket] {
      serve_(socket);
      ::shutdown(socket, SHUT_RDWR);
    });
  }
}

struct TlsFront::Context {
  SslContext ssl;
};

TlsFront::TlsFront(int plain_port, const TlsFaults& faults)
    : plain_port_(plain_port), context_(std::make_unique<Context>()) {
  auto authority = issue("Test authority", faults, nullptr, true);
  auto server = issue(faults.host, faults, faults.self_signed ? nullptr : &authority, false);
  authority_ = to_pem(authority.certificate.get());
  context_->ssl = SslContext(SSL_CTX_new(TLS_server_method()));
  auto* ssl = context_->ssl.get();
  if (faults.sha1 || faults.only_tls_1_1) SSL_CTX_set_security_level(ssl, 0);
  if (faults.only_tls_1_1) {
    SSL_CTX_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ssl, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(ssl, "ALL:@SECLEVEL=0");
  }
  if (SSL_CTX_use_certificate(ssl, server.certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(ssl, server.key.get()) != 1)
    std::abort();
  listener_ = std::make_unique<Listener>([this](int socket) { serve(socket); });
}

TlsFront::~TlsFront() = default;

void TlsFront::serve(int socket) {
  Session session(SSL_new(context_->ssl.get()));
  SSL_set_fd(session.get(), socket);
  if (SSL_accept(session.get()) != 1) {
    ERR_clear_error();
    return;
  }
  int upstream = connect_to(plain_port_);
  if (upstream < 0) return;
  splice(
      socket, upstream,
      [&](char* buffer, std::size_t size) { return SSL_read(session.get(), buffer, static_cast<int>(size)); },
      [&](const char* buffer, std::size_t size) {
        return SSL_write(session.get(), buffer, static_cast<int>(size)) > 0;
      },
      [&] { return SSL_pending(session.get()); });
  SSL_shutdown(session.get());
  ERR_clear_error();
  ::close(upstream);
}

RecordingProxy::RecordingProxy() : listener_([this](int socket) { serve(socket); }) {}

std::vector<std::string> RecordingProxy::heads() const {
  std::scoped_lock lock(mutex_);
  return heads_;
}

void RecordingProxy::serve(int socket) {
  std::string head;
  std::array<char, 4096> buffer{};
  while (head.find("\r\n\r\n") == std::string::npos) {
    auto got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    head.append(buffer.data(), static_cast<std::size_t>(got));
  }
  {
    std::scoped_lock lock(mutex_);
    heads_.push_back(head);
  }
  auto colon = head.find(':');
  if (!head.starts_with("CONNECT ") || colon == std::string::npos) return;
  int upstream = connect_to(std::atoi(head.c_str() + colon + 1));
  if (upstream < 0) return;
  send_all(socket, "HTTP/1.1 200 Connection established\r\n\r\n");
  splice(
      socket, upstream, [&](char* bytes, std::size_t size) { return ::recv(socket, bytes, size, 0); },
      [&](const char* bytes, std::size_t size) { return send_all(socket, {bytes, size}); }, [] { return 0; });
  ::close(upstream);
}

}  // namespace kernels::test
