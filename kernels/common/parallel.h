#pragma once

#include <cstdint>
#include <cstdlib>

#include <pthread.h>
#include <sched.h>

// Threads for the CPU variants. They live for one call: a library that was opened by a program may be closed
// by it again, and a process may fork, and neither may meet threads that wait. Starting one takes 10 to 30
// microseconds, so small calls stay on the caller.

namespace kernels::common {

/// Processors that this process may use, not more than OMP_NUM_THREADS says, as other CPU libraries have it.
[[gnu::always_inline]] inline std::int64_t usable_processors() {
  cpu_set_t set;
  std::int64_t count = ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  if (const char* wanted = std::getenv("OMP_NUM_THREADS")) {
    const long number = std::strtol(wanted, nullptr, 10);
    if (number > 0 && number < count) count = number;
  }
  return count < 1 ? 1 : count;
}

/// One part of the work, on a thread of its own if one can be had.
template <class Body>
class ParallelPart {
 public:
  void start(const Body& body, std::int64_t begin, std::int64_t end) {
    body_ = &body;
    begin_ = begin;
    end_ = end;
    started_ = ::pthread_create(&thread_, nullptr, &ParallelPart::main, this) == 0;
    if (!started_) body(begin, end);
  }
  void join() {
    if (started_) ::pthread_join(thread_, nullptr);
    started_ = false;
  }

 private:
  static void* main(void* self) {
    const auto* part = static_cast<const ParallelPart*>(self);
    (*part->body_)(part->begin_, part->end_);
    return nullptr;
  }
  const Body* body_ = nullptr;
  std::int64_t begin_ = 0;
  std::int64_t end_ = 0;
  pthread_t thread_{};
  bool started_ = false;
};

/// Calls `body(begin, end)` for parts that together are [0, count), each once, and returns when all are done.
/// `bytes` is what the whole call moves: it decides on how many threads. Which thread takes an index changes
/// no result, as long as `body` computes each index on its own.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t bytes, const Body& body) {
  constexpr std::int64_t kBytesPerThread = 1 << 19;  // about 50 microseconds of work
  constexpr std::int64_t kMostThreads = 64;
  std::int64_t threads = bytes / kBytesPerThread;
  if (threads > 1 && threads > usable_processors()) threads = usable_processors();
  if (threads > count) threads = count;
  if (threads > kMostThreads) threads = kMostThreads;
  if (threads < 2) {
    body(std::int64_t{0}, count);
    return;
  }
  ParallelPart<Body> parts[kMostThreads];
  const std::int64_t share = count / threads;
  const std::int64_t more = count % threads;  // that many parts take one index more
  const auto begin_of = [&](std::int64_t part) { return part * share + (part < more ? part : more); };
  for (std::int64_t part = 1; part < threads; ++part)
    parts[part].start(body, begin_of(part), begin_of(part + 1));
  body(std::int64_t{0}, begin_of(1));
  for (std::int64_t part = 1; part < threads; ++part)
    parts[part].join();
}

}  // namespace kernels::common
