#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include <httplib.h>

namespace kernels::hub {

/// How long a client may take. A connection holds a thread, so none may be held for ever.
struct ConnectionLimits {
  std::chrono::milliseconds first_request{5000};  ///< until its first byte
  /// Between two requests. Longer than common clients keep a connection (5 s to 60 s): who closes second
  /// meets no request that is on its way.
  std::chrono::milliseconds idle{75000};
  std::chrono::milliseconds request_head{10000};  ///< from its first byte to its last
  std::chrono::milliseconds request_body{30000};
  std::chrono::seconds no_progress{30};  ///< while an answer is sent
  std::size_t head_bytes = 64 << 10;
};

/// A connected socket under HTTP: buffers in both directions, deadlines, files sent by the kernel. The
/// library's own stream uses select(2), which cannot watch descriptors above 1023, and copies file content
/// through its buffers. Used by one thread.
class Connection : public httplib::Stream {
 public:
  Connection(int socket, const ConnectionLimits& limits);

  /// Waits until the next request begins. False: the client is gone, was idle for too long, or `give_up`
  /// says so (asked a few times a second).
  bool wait_for_request(const std::function<bool()>& give_up);
  /// Starts the clock for a request head, and for its body.
  void begin_head();
  void begin_body();
  /// Sends what is still buffered.
  bool flush();
  /// Lets the client read the last answer before the connection is cut.
  void linger();

  /// The next bytes that are written from `file_bytes()` come from this file.
  void set_file(int fd, std::uint64_t offset);
  static const char* file_bytes();

  void close_after_answer() { closing_ = true; }
  bool is_closing() const { return closing_; }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return !broken_; }
  ssize_t read(char* data, std::size_t size) override;
  ssize_t write(const char* data, std::size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  bool fill();
  bool send_all(const char* data, std::size_t size, int flags);
  bool send_file(std::size_t size);

  int socket_;
  ConnectionLimits limits_;
  std::string in_;
  std::size_t in_at_ = 0;
  std::string out_;
  Time deadline_;
  std::size_t budget_ = 0;
  int file_ = -1;
  std::uint64_t file_at_ = 0;
  bool broken_ = false;
  bool closing_ = false;
  bool has_spoken_ = false;
};

/// Runs jobs on as many threads as there are jobs, up to a bound; idle threads end after a while. The caller
/// of `enqueue` waits when too many jobs wait, which leaves new connections in the kernel's queue.
class GrowingPool : public httplib::TaskQueue {
 public:
  // The return type of `enqueue` differs between versions of the library.
  using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));

  GrowingPool(std::size_t max_threads, std::size_t max_waiting, std::atomic<std::size_t>& waiting)
      : max_threads_(max_threads), max_waiting_(max_waiting), waiting_(waiting) {}

  Enqueued enqueue(std::function<void()> job) override;
  void shutdown() override;

 private:
  void add(std::function<void()> job);
  void work();

  std::size_t max_threads_;
  std::size_t max_waiting_;
  std::atomic<std::size_t>& waiting_;  ///< connections without a thread; read by those that have one
  std::mutex mutex_;
  std::condition_variable job_added_;
  std::condition_variable job_taken_;
  std::deque<std::function<void()>> jobs_;
  std::size_t threads_ = 0;
  std::size_t idle_ = 0;  ///< threads without a job, those that are starting among them
  bool stopping_ = false;
};

}  // namespace kernels::hub
