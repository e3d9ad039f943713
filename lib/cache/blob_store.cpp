// How a blob is taken in.
//
// The thread that receives calls `write`: the bytes go to the file at once (the page cache, in truth) and a
// record of the piece goes to the file's tail, in this order, so that a kill between the two loses a piece
// but never claims one. Then the buffer goes to a hashing thread. That thread hashes each file from front to
// back: a buffer that continues the hashed part is hashed from memory; one that came early is let go, and
// read back from the page cache when its turn comes. So memory does not grow with the number of ranges in
// flight, and a file that comes in order is never read back.
//
// The tail lies behind the content: a header, then records of 16 bytes (offset, length). It names the process
// that writes, because a file may only be taken over when its writer is gone. flock alone cannot tell: on
// some network file systems it does nothing. So the writer must be dead on this host, the lock must be free,
// and the file must be renamed by the one that takes it over: of several, one succeeds.

#include "kernels/cache/blob_store.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

#include "partial_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kReadBack = 256 << 10;
constexpr std::size_t kMaxQueuedBytes = 4 << 20;
constexpr std::size_t kMaxIdleBytes = 4 << 20;
constexpr std::uint64_t kEarlyFlush = 16 << 20;
constexpr std::uint64_t kReserveAbove = 1 << 20;

}  // namespace

/// Everything about one blob. Written by the receiving thread, hashed by one hashing thread; `mutex` guards
/// what both touch.
struct BlobWriter::State {
  State(BlobId blob_id, std::uint64_t blob_size)
      : id(std::move(blob_id)), size(blob_size), hasher(id.hasher(size)) {}

  BlobStore::Workers* workers = nullptr;
  BlobId id;
  std::uint64_t size;
  fs::path temporary;
  fs::path final_path;
  UniqueFd fd;
  std::uint64_t records = 0;  // in the tail
  std::uint64_t resumed = 0;
  ExtentSet written;  // receiving thread
  BlobStore::Completion completion;

  // Hashing thread only.
  ExtentSet hashable;
  Hasher hasher;
  std::uint64_t hashed = 0;
  std::uint64_t flushing = 0;  // up to here the disk was asked to begin
  std::uint64_t generation = 0;
  bool finished = false;  // the completion was called or passed on
};

namespace {

/// Buffers that were hashed and wait to be filled again. Fresh memory costs the kernel more than the copy
/// into it.
class Buffers {
 public:
  std::vector<std::byte> take(std::size_t capacity) {
    std::vector<std::byte> out;
    std::unique_lock guard(mutex_);
    auto& same = idle_[capacity];
    if (!same.empty()) {
      out = std::move(same.back());
      same.pop_back();
      idle_bytes_ -= capacity;
    }
    guard.unlock();
    out.reserve(capacity);
    return out;
  }

  void give_back(std::vector<std::byte> buffer) {
    auto capacity = buffer.capacity();
    std::lock_guard guard(mutex_);
    if (capacity == 0 || idle_bytes_ + capacity > kMaxIdleBytes) return;
    buffer.clear();
    idle_[capacity].push_back(std::move(buffer));
    idle_bytes_ += capacity;
  }

 private:
  std::mutex mutex_;
  std::map<std::size_t, std::vector<std::vector<std::byte>>> idle_;  // by capacity
  std::size_t idle_bytes_ = 0;
};

struct HashJob {
  std::shared_ptr<BlobWriter::State> blob;
  Extent extent;
  std::vector<std::byte> bytes;  // empty: read back from the file
  std::uint64_t generation = 0;
  std::function<void()> other;  // a job without a blob
};

/// A thread with a queue of at most so many bytes.
class HashThread {
 public:
  HashThread() : thread_([this] { loop(); }) {}
  HashThread(const HashThread&) = delete;
  HashThread& operator=(const HashThread&) = delete;
  ~HashThread() {
    {
      std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  void push(HashJob job) {
    std::unique_lock guard(mutex_);
    space_.wait(guard, [&] { return queued_ <= kMaxQueuedBytes; });
    queued_ += job.bytes.size();
    jobs_.push_back(std::move(job));
    guard.unlock();
    wake_.notify_one();
  }

  std::function<void(HashJob&)> work;
  Buffers* buffers = nullptr;

 private:
  void loop() {
    for (;;) {
      std::unique_lock guard(mutex_);
      wake_.wait(guard, [&] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;  // what is left belongs to blobs that will be resumed
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      guard.unlock();
      if (job.other)
        job.other();
      else
        work(job);
      guard.lock();
      bool was_full = queued_ > kMaxQueuedBytes;
      queued_ -= job.bytes.size();
      guard.unlock();
      if (was_full) space_.notify_one();
      buffers->give_back(std::move(job.bytes));
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable space_;
  std::deque<HashJob> jobs_;
  std::size_t queued_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

Status publish_content(BlobWriter::State& blob) {
  if (::ftruncate(blob.fd.get(), static_cast<off_t>(blob.size)) != 0)
    return fail(system_error("finish", blob.temporary.string(), errno));
  // A failed flush means that the bytes may be gone although the page cache still shows them: never try
  // again.
  if (::fdatasync(blob.fd.get()) != 0) return fail(system_error("flush", blob.temporary.string(), errno));
  return {};
}

/// Flushes and renames verified blobs. One folder flush serves all blobs that are ready at the same time.
class Publisher {
 public:
  Publisher() : thread_([this] { loop(); }) {}
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  ~Publisher() {
    {
      std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  void push(std::shared_ptr<BlobWriter::State> blob) {
    {
      std::lock_guard guard(mutex_);
      ready_.push_back(std::move(blob));
    }
    wake_.notify_one();
  }

  /// Lets the disk begin with a piece of a blob that is still growing, so that little is left for the flush.
  void begin_flush(std::shared_ptr<BlobWriter::State> blob, Extent extent) {
    {
      std::lock_guard guard(mutex_);
      early_.emplace_back(std::move(blob), extent);
    }
    wake_.notify_one();
  }

 private:
  void loop() {
    for (;;) {
      std::vector<std::shared_ptr<BlobWriter::State>> batch;
      std::vector<std::pair<std::shared_ptr<BlobWriter::State>, Extent>> early;
      {
        std::unique_lock guard(mutex_);
        wake_.wait(guard, [&] { return stopping_ || !ready_.empty() || !early_.empty(); });
        if (ready_.empty() && stopping_) return;
        batch.swap(ready_);
        early.swap(early_);
      }
      publish(batch);
      for (const auto& [blob, extent] : early)
        if (blob->fd)  // a hint: it may fail, and wait for the disk
          ::sync_file_range(blob->fd.get(), static_cast<off64_t>(extent.begin),
                            static_cast<off64_t>(extent.size()), SYNC_FILE_RANGE_WRITE);
    }
  }

  /// Several at a time: the kernel joins flushes of the disk that are asked for together.
  static std::vector<Status> flush_all(const std::vector<std::shared_ptr<BlobWriter::State>>& batch) {
    constexpr std::size_t kMostThreads = 8;
    std::vector<Status> results(batch.size());
    std::atomic<std::size_t> next{0};
    auto flush = [&] {
      for (auto i = next++; i < batch.size(); i = next++)
        results[i] = publish_content(*batch[i]);
    };
    std::vector<std::jthread> helpers;
    try {
      while (helpers.size() + 1 < std::min(batch.size(), kMostThreads))
        helpers.emplace_back(flush);
    } catch (const std::system_error& error) {
      log(LogLevel::info, std::string("fewer threads than wanted: ") + error.what());  // and they do the same
    }
    flush();
    helpers.clear();
    return results;
  }

  static void publish(const std::vector<std::shared_ptr<BlobWriter::State>>& batch) {
    auto results = flush_all(batch);
    std::set<fs::path> folders;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      auto& status = results[i];
      if (status) status = rename_path(batch[i]->temporary, batch[i]->final_path);
      if (status) folders.insert(batch[i]->final_path.parent_path());
    }
    Status flushed;
    for (const auto& folder : folders)
      if (auto status = sync_folder(folder); !status) flushed = std::move(status);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      auto& blob = *batch[i];
      blob.fd.reset();
      auto completion = std::move(blob.completion);
      completion(!results[i] ? std::move(results[i]) : flushed);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<BlobWriter::State>> ready_;
  std::vector<std::pair<std::shared_ptr<BlobWriter::State>, Extent>> early_;
  bool stopping_ = false;
  std::thread thread_;
};

Error wrong_hash(const std::string& expected, const std::string& found) {
  return Error(Errc::integrity, "the content has the hash " + found + ", but " + expected + " was locked")
      .with_hint(
          "the bytes on the way or at the server differ from those that were locked; nothing was kept");
}

}  // namespace

struct BlobStore::Workers {
  explicit Workers(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      hashers.push_back(std::make_unique<HashThread>());
      hashers.back()->work = [this](HashJob& job) { hash(job); };
      hashers.back()->buffers = &buffers;
    }
  }

  HashThread& thread_for(const BlobId& id) {
    return *hashers[static_cast<unsigned char>(id.str().back()) % hashers.size()];
  }

  void hash(HashJob& job) {
    auto& blob = *job.blob;
    if (blob.finished || job.generation != blob.generation) return;  // from before a restart
    blob.hashable.add(job.extent);
    if (job.extent.begin == blob.hashed && !job.bytes.empty()) {
      blob.hasher.update(job.bytes);
      blob.hashed = job.extent.end;
    }
    if (auto caught_up = read_back(blob); !caught_up) return complete(blob, std::move(caught_up));
    if (blob.hashed < blob.size) return begin_flush(job.blob);
    blob.finished = true;
    auto found = blob.hasher.finish_hex();
    if (found != blob.id.str()) return complete(blob, fail(wrong_hash(blob.id.str(), found)));
    publisher.push(job.blob);
  }

  void begin_flush(const std::shared_ptr<BlobWriter::State>& blob) {
    if (blob->hashed < blob->flushing + kEarlyFlush) return;
    publisher.begin_flush(blob, {.begin = blob->flushing, .end = blob->hashed});
    blob->flushing = blob->hashed;
  }

  /// Hashes what came early and lies behind the hashed part now.
  static Status read_back(BlobWriter::State& blob) {
    auto end = blob.hashable.contiguous_end(blob.hashed);
    if (blob.hashed >= end) return {};
    std::vector<std::byte> buffer(std::min<std::uint64_t>(kReadBack, end - blob.hashed));
    while (blob.hashed < end) {
      auto wanted = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), end - blob.hashed));
      auto got = read_at(blob.fd.get(), wanted, blob.hashed, blob.temporary.string());
      if (!got) return fail(std::move(got).error());
      if (*got != wanted.size()) return fail(Errc::io, "`" + blob.temporary.string() + "` became shorter");
      blob.hasher.update(std::span<const std::byte>(wanted));
      blob.hashed += *got;
    }
    return {};
  }

  static void complete(BlobWriter::State& blob, Status status) {
    blob.finished = true;
    auto completion = std::move(blob.completion);
    completion(std::move(status));
  }

  Buffers buffers;
  Publisher publisher;  // outlives the hashing threads that push to it
  std::vector<std::unique_ptr<HashThread>> hashers;
};

BlobStore::BlobStore(Layout layout)
    : layout_(std::move(layout)),
      workers_(std::make_unique<Workers>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U))) {}

BlobStore::~BlobStore() = default;

const Layout& BlobStore::layout() const {
  return layout_;
}

std::vector<std::byte> BlobStore::buffer(std::size_t capacity) {
  return workers_->buffers.take(capacity);
}

// --- opening and taking over ------------------------------------------------------------------------------

static Status start_tail(BlobWriter::State& blob) {
  blob.records = 0;
  blob.written = {};
  // The records go; the space for the content may stay.
  if (::ftruncate(blob.fd.get(), static_cast<off_t>(blob.size)) != 0)
    return fail(system_error("make room in", blob.temporary.string(), errno));
  auto header = make_header();
  return write_at(blob.fd.get(), header, blob.size, blob.temporary.string());
}

/// Halves what the kernel spends on each write to ext4, and finds a full disk before anything is fetched.
/// Where the file system cannot do it nothing is lost.
static Status reserve_space(const BlobWriter::State& blob) {
  if (blob.size <= kReserveAbove) return {};
  int failed = ::fallocate(blob.fd.get(), 0, 0, static_cast<off_t>(blob.size)) == 0 ? 0 : errno;
  if (failed != ENOSPC && failed != EDQUOT) return {};
  return fail(
      system_error("reserve " + std::to_string(blob.size) + " bytes for", blob.final_path.string(), failed));
}

static Status create_temporary(BlobWriter::State& blob, const fs::path& folder) {
  blob.temporary = folder / (blob.id.str() + "." + random_suffix() + ".incomplete");
  int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  blob.fd = UniqueFd(::open(blob.temporary.c_str(), flags, 0666));
  if (!blob.fd) return fail(system_error("create", blob.temporary.string(), errno));
  ::flock(blob.fd.get(), LOCK_EX | LOCK_NB);
  if (auto reserved = reserve_space(blob); !reserved) {
    ::unlink(blob.temporary.c_str());
    return reserved;
  }
  return start_tail(blob);
}

/// Reads the tail of a file that another process left behind; false if it is not one that may be taken over.
static bool read_tail(BlobWriter::State& blob) {
  auto stamp = file_stamp(blob.fd.get());
  if (!stamp || stamp->size < blob.size + kHeaderSize) return false;
  auto tail_size = std::min<std::uint64_t>(stamp->size - blob.size, kHeaderSize + kMaxRecords * kRecordSize);
  std::vector<std::byte> tail(tail_size);
  auto got = read_at(blob.fd.get(), tail, blob.size, blob.temporary.string());
  if (!got || *got != tail.size()) return false;
  ByteView view{std::span<const std::byte>(tail)};
  auto magic = view.slice(0, kMagic.size());
  if (!magic || std::memcmp(magic->bytes().data(), kMagic.data(), kMagic.size()) != 0) return false;
  if (!writer_is_gone(view)) return false;
  for (std::uint64_t at = kHeaderSize; at + kRecordSize <= tail.size(); at += kRecordSize) {
    auto begin = view.le<std::uint64_t>(at).value_or(0);
    auto length = view.le<std::uint64_t>(at + 8).value_or(0);
    if (begin > blob.size || length > blob.size - begin) return false;
    blob.written.add({.begin = begin, .end = begin + length});
    ++blob.records;
  }
  return true;
}

static bool take_over(BlobWriter::State& blob, const fs::path& left_behind) {
  blob.fd = UniqueFd(::open(left_behind.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!blob.fd || ::flock(blob.fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  blob.temporary = left_behind;
  blob.written = {};
  blob.records = 0;
  if (!read_tail(blob)) return false;
  auto own = left_behind.parent_path() / (blob.id.str() + "." + random_suffix() + ".incomplete");
  if (::rename(left_behind.c_str(), own.c_str()) != 0) return false;
  blob.temporary = own;
  blob.resumed = blob.written.total();
  auto header = make_header();
  return write_at(blob.fd.get(), header, blob.size, own.string()).has_value();
}

static bool find_left_behind(BlobWriter::State& blob, const fs::path& folder) {
  std::error_code code;
  std::vector<fs::path> candidates;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    auto name = it->path().filename().string();
    if (name.starts_with(blob.id.str() + ".") && name.ends_with(".incomplete"))
      candidates.push_back(it->path());
  }
  return std::ranges::any_of(candidates, [&](const auto& candidate) { return take_over(blob, candidate); });
}

Result<std::shared_ptr<BlobWriter>> BlobStore::open(const RepoId& repo, const BlobId& id, std::uint64_t size,
                                                    Completion completion) {
  auto folder = layout_.blobs(repo);
  if (auto made = make_folders(folder); !made) return fail(std::move(made).error());
  auto blob = std::make_shared<BlobWriter::State>(id, size);
  blob->workers = workers_.get();
  blob->final_path = layout_.blob(repo, id);
  blob->completion = std::move(completion);
  if (!find_left_behind(*blob, folder)) {
    blob->resumed = 0;
    if (auto created = create_temporary(*blob, folder); !created) return fail(std::move(created).error());
  }
  // What is there already is hashed from the file; for a file of no bytes this is the whole work.
  auto front = blob->written;
  for (std::uint64_t at = 0; at < size;) {
    auto end = front.contiguous_end(at);
    if (end > at)
      workers_->thread_for(id).push(
          {.blob = blob, .extent = {at, end}, .bytes = {}, .generation = 0, .other = {}});
    auto gaps = front.missing(size);
    auto next = std::ranges::find_if(gaps, [&](const Extent& gap) { return gap.begin >= end; });
    if (next == gaps.end()) break;
    at = next->end;
  }
  if (size == 0)
    workers_->thread_for(id).push({.blob = blob, .extent = {}, .bytes = {}, .generation = 0, .other = {}});
  return std::make_shared<BlobWriter>(blob);
}

void BlobStore::verify(const fs::path& path, const BlobId& id, std::uint64_t size, Completion completion) {
  auto job = [path, id, size, completion = std::move(completion)] {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    auto stamp = fd ? file_stamp(fd.get()) : std::nullopt;
    if (!stamp) return completion(fail(Errc::not_found, "`" + path.string() + "` is missing"));
    if (stamp->size != size)
      return completion(fail(Errc::integrity, "`" + path.string() + "` has " + std::to_string(stamp->size) +
                                                  " bytes, but " + std::to_string(size) + " were locked"));
    auto hasher = id.hasher(size);
    std::vector<std::byte> buffer(std::clamp<std::uint64_t>(size, 1, kReadBack));
    for (std::uint64_t at = 0; at < size;) {
      auto got = read_at(fd.get(), buffer, at, path.string());
      if (!got) return completion(fail(std::move(got).error()));
      if (*got == 0) break;
      hasher.update(std::span<const std::byte>(buffer).first(*got));
      at += *got;
    }
    auto found = hasher.finish_hex();
    if (found == id.str()) return completion({});
    completion(fail(Errc::integrity, "`" + path.string() + "` has the hash " + found));
  };
  workers_->thread_for(id).push(
      {.blob = {}, .extent = {}, .bytes = {}, .generation = 0, .other = std::move(job)});
}

// --- writing -----------------------------------------------------------------------------------------------

std::uint64_t BlobWriter::size() const {
  return state_->size;
}

std::vector<Extent> BlobWriter::missing() const {
  return state_->written.missing(state_->size);
}

std::uint64_t BlobWriter::resumed() const {
  return state_->resumed;
}

Status BlobWriter::write(std::uint64_t offset, std::vector<std::byte> bytes) {
  auto& blob = *state_;
  if (offset > blob.size || bytes.size() > blob.size - offset)
    return fail(Errc::integrity,
                "the server sends more bytes than the " + std::to_string(blob.size) + " locked");
  Extent extent{.begin = offset, .end = offset + bytes.size()};
  auto gaps = blob.written.missing_within(extent);
  if (gaps.size() == 1 && gaps.front() == extent) return write_new(extent, std::move(bytes));
  // Bytes that are there may have been hashed already: replacing them would let anything pass.
  for (const auto& gap : gaps) {
    auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(gap.begin - offset);
    std::vector<std::byte> part(begin, begin + static_cast<std::ptrdiff_t>(gap.size()));
    if (auto written = write_new(gap, std::move(part)); !written) return written;
  }
  return {};
}

Status BlobWriter::write_new(Extent extent, std::vector<std::byte> bytes) {
  auto& blob = *state_;
  if (auto written = write_at(blob.fd.get(), bytes, extent.begin, blob.temporary.string()); !written)
    return written;
  blob.written.add(extent);
  // A whole small file is complete at once: nothing of it will ever be resumed.
  bool whole = bytes.size() == blob.size;
  if (!whole) {
    std::array<std::byte, kRecordSize> record{};
    put_u64(record.data(), extent.begin);
    put_u64(record.data() + 8, extent.size());
    auto at = blob.size + kHeaderSize + blob.records * kRecordSize;
    if (auto noted = write_at(blob.fd.get(), record, at, blob.temporary.string()); !noted) return noted;
    ++blob.records;
  }
  blob.workers->thread_for(blob.id).push({.blob = state_,
                                          .extent = extent,
                                          .bytes = std::move(bytes),
                                          .generation = blob.generation,
                                          .other = {}});
  return {};
}

Status BlobWriter::restart(BlobStore::Completion completion) {
  auto& blob = *state_;
  blob.completion = std::move(completion);
  blob.finished = false;
  blob.resumed = 0;
  ++blob.generation;
  blob.hasher = blob.id.hasher(blob.size);
  blob.hashable = {};
  blob.hashed = 0;
  blob.flushing = 0;
  return start_tail(blob);
}

void BlobWriter::discard() {
  // The descriptor stays with the state: the publishing thread may be using it.
  ::unlink(state_->temporary.c_str());
}

}  // namespace kernels::cache
