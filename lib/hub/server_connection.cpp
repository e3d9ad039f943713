#include "server_connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

namespace kernels::hub {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// Waits for data to read. False when the time is over.
bool wait_readable(int socket, milliseconds timeout) {
  pollfd item{.fd = socket, .events = POLLIN, .revents = 0};
  for (;;) {
    int ready = ::poll(&item, 1, static_cast<int>(std::max<std::int64_t>(timeout.count(), 0)));
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return false;
  }
}

milliseconds until(steady_clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time - steady_clock::now());
}

}  // namespace

Connection::Connection(int socket, const ConnectionLimits& limits) : socket_(socket), limits_(limits) {
  timeval wait{.tv_sec = limits.no_progress.count(), .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

bool Connection::wait_for_request(const std::function<bool()>& give_up) {
  constexpr milliseconds kLook{200};
  if (in_at_ < in_.size()) return true;
  auto end = steady_clock::now() + (has_spoken_ ? limits_.idle : limits_.first_request);
  for (bool last_look = false; !last_look;) {
    last_look = give_up() || steady_clock::now() >= end;
    // A request that has come by now is answered: its client cannot tell a late close from a broken server.
    if (!wait_readable(socket_, last_look ? milliseconds(0) : std::min(kLook, until(end)))) continue;
    has_spoken_ = true;
    begin_head();
    return fill();
  }
  return false;
}

void Connection::begin_head() {
  deadline_ = steady_clock::now() + limits_.request_head;
  budget_ = limits_.head_bytes;
}

void Connection::begin_body() {
  deadline_ = steady_clock::now() + limits_.request_body;
  budget_ = std::size_t{1} << 30U;  // bounded by the payload limit
}

bool Connection::fill() {
  in_.resize(16 << 10);
  in_at_ = 0;
  ssize_t got = -1;
  do {
    if (!wait_readable(socket_, until(deadline_))) break;
    got = ::recv(socket_, in_.data(), in_.size(), 0);
  } while (got < 0 && errno == EINTR);
  in_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return got > 0;
}

ssize_t Connection::read(char* data, std::size_t size) {
  if (budget_ == 0 || (in_at_ == in_.size() && !fill())) {
    closing_ = true;
    return -1;
  }
  auto part = std::min({size, in_.size() - in_at_, budget_});
  std::copy_n(in_.data() + in_at_, part, data);
  in_at_ += part;
  budget_ -= part;
  return static_cast<ssize_t>(part);
}

bool Connection::send_all(const char* data, std::size_t size, int flags) {
  while (size > 0 && !broken_) {
    ssize_t sent = ::send(socket_, data, size, MSG_NOSIGNAL | flags);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) {
      broken_ = true;
      break;
    }
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return !broken_;
}

bool Connection::flush() {
  bool sent = send_all(out_.data(), out_.size(), 0);
  out_.clear();
  return sent;
}

void Connection::linger() {
  std::array<char, 4096> rest{};
  ::shutdown(socket_, SHUT_WR);
  auto end = steady_clock::now() + milliseconds(500);
  for (std::size_t total = 0; total < (4U << 20U) && wait_readable(socket_, until(end));) {
    auto got = ::recv(socket_, rest.data(), rest.size(), 0);
    if (got <= 0) return;
    total += static_cast<std::size_t>(got);
  }
}

const char* Connection::file_bytes() {
  static const char mark = 0;
  return &mark;
}

void Connection::set_file(int fd, std::uint64_t offset) {
  file_ = fd;
  file_at_ = offset;
}

bool Connection::send_file(std::size_t size) {
  // The answer's head travels in the same packet as the first bytes of the file.
  if (!out_.empty() && !send_all(out_.data(), out_.size(), MSG_MORE)) return false;
  out_.clear();
  auto offset = static_cast<off_t>(file_at_);
  while (size > 0) {
    ssize_t sent = ::sendfile(socket_, file_, &offset, size);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) {  // also a file that has become shorter
      broken_ = true;
      return false;
    }
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

ssize_t Connection::write(const char* data, std::size_t size) {
  constexpr std::size_t kSmall = 16 << 10;
  if (broken_) return -1;
  bool done = true;
  if (data == file_bytes()) {
    done = send_file(size);
  } else if (size <= kSmall && out_.size() < 4 * kSmall) {
    out_.append(data, size);
  } else {
    done = send_all(out_.data(), out_.size(), MSG_MORE) && send_all(data, size, 0);
    out_.clear();
  }
  return done ? static_cast<ssize_t>(size) : -1;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

GrowingPool::Enqueued GrowingPool::enqueue(std::function<void()> job) {
  add(std::move(job));
  return Enqueued(true);
}

void GrowingPool::add(std::function<void()> job) {
  std::unique_lock lock(mutex_);
  job_taken_.wait(lock, [&] { return stopping_ || jobs_.size() < max_waiting_; });
  jobs_.push_back(std::move(job));
  if (idle_ < jobs_.size() && threads_ < max_threads_) {
    try {
      std::thread([this] { work(); }).detach();
      ++threads_;
      ++idle_;  // from now on, or the job that it will take seems to have no thread
    } catch (const std::system_error&) {
      // No more threads to be had. With at least one, the connection waits for it.
      if (threads_ == 0) jobs_.pop_back();
    }
  }
  waiting_ = jobs_.size() - std::min(idle_, jobs_.size());
  job_added_.notify_one();
}

void GrowingPool::work() {
  constexpr std::chrono::seconds kIdle{10};
  std::unique_lock lock(mutex_);
  for (;; ++idle_) {
    bool woken = job_added_.wait_for(lock, kIdle, [&] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (jobs_.empty() && (stopping_ || !woken)) break;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    waiting_ = jobs_.size() - std::min(idle_, jobs_.size());
    job_taken_.notify_one();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
  --threads_;
  job_taken_.notify_all();
}

void GrowingPool::shutdown() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  job_added_.notify_all();
  job_taken_.notify_all();
  job_taken_.wait(lock, [&] { return threads_ == 0; });
}

}  // namespace kernels::hub
