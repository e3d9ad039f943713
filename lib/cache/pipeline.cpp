#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <set>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "kernels/base/log.h"

#include "partial_impl.h"
#include "pipeline_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kReadBack = 256 << 10;
constexpr std::size_t kMaxQueuedBytes = 2 << 20;
constexpr std::size_t kMaxIdleBytes = 3 << 20;
constexpr std::uint64_t kEarlyFlush = 16 << 20;
constexpr std::uint64_t kDiskBlock = 4096;

}  // namespace

// --- buffers and threads -----------------------------------------------------------------------------------

Buffer Buffers::take(std::size_t capacity) {
  {
    std::lock_guard guard(mutex_);
    auto& same = idle_[capacity];
    if (!same.empty()) {
      auto out = std::move(same.back());
      same.pop_back();
      idle_bytes_ -= capacity;
      return out;
    }
  }
  return Buffer(capacity);
}

void Buffers::give_back(Buffer buffer) {
  auto capacity = buffer.capacity();
  std::lock_guard guard(mutex_);
  if (capacity == 0 || idle_bytes_ + capacity > kMaxIdleBytes) return;
  buffer.clear();
  idle_[capacity].push_back(std::move(buffer));
  idle_bytes_ += capacity;
}

WorkThread::WorkThread(std::function<void(Job&)> work, Buffers& buffers)
    : work_(std::move(work)), buffers_(buffers), thread_([this] { loop(); }) {}

WorkThread::~WorkThread() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void WorkThread::push(Job job) {
  std::unique_lock guard(mutex_);
  space_.wait(guard, [&] { return queued_ <= kMaxQueuedBytes; });
  queued_ += job.bytes.size();
  jobs_.push_back(std::move(job));
  guard.unlock();
  wake_.notify_one();
}

void WorkThread::loop() {
  for (;;) {
    std::unique_lock guard(mutex_);
    wake_.wait(guard, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    guard.unlock();
    auto size = job.bytes.size();
    if (job.other)
      job.other();
    else
      work_(job);
    guard.lock();
    bool was_full = queued_ > kMaxQueuedBytes;
    queued_ -= size;
    guard.unlock();
    if (was_full) space_.notify_all();  // the receiving and the writing thread may both wait
    buffers_.give_back(std::move(job.bytes));
  }
}

// --- publishing --------------------------------------------------------------------------------------------

static Status publish_content(BlobWriter::State& blob) {
  if (::ftruncate(blob.fd.get(), static_cast<off_t>(blob.size)) != 0)
    return fail(system_error("finish", blob.temporary.string(), errno));
  // A failed flush means that the bytes may be gone although the page cache still shows them: never try
  // again.
  if (::fdatasync(blob.fd.get()) != 0) return fail(system_error("flush", blob.temporary.string(), errno));
  return {};
}

Publisher::Publisher() : thread_([this] { loop(); }) {}

Publisher::~Publisher() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Publisher::push(std::shared_ptr<BlobWriter::State> blob) {
  {
    std::lock_guard guard(mutex_);
    ready_.push_back(std::move(blob));
  }
  wake_.notify_one();
}

void Publisher::begin_flush(std::shared_ptr<BlobWriter::State> blob, Extent extent) {
  {
    std::lock_guard guard(mutex_);
    early_.emplace_back(std::move(blob), extent);
  }
  wake_.notify_one();
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
    blob.direct.reset();
    auto completion = std::move(blob.completion);
    completion(!results[i] ? std::move(results[i]) : flushed);
  }
}

void Publisher::loop() {
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

// --- writing -----------------------------------------------------------------------------------------------

/// Whole blocks go past the page cache: nothing is copied there, and nothing is left for the flush at the
/// end. What that does not take, because the file system or the place does not fit, is left for the usual
/// way.
static std::size_t write_direct(BlobWriter::State& blob, Extent extent, std::span<const std::byte> bytes) {
  if (!blob.direct || extent.begin % kDiskBlock != 0) return 0;
  auto blocks = bytes.first(bytes.size() / kDiskBlock * kDiskBlock);
  if (write_at(blob.direct.get(), blocks, extent.begin, blob.temporary.string())) return blocks.size();
  blob.direct.reset();
  return 0;
}

static Status note_piece(BlobWriter::State& blob, Extent extent) {
  std::array<std::byte, kRecordSize> record{};
  put_u64(record.data(), extent.begin);
  put_u64(record.data() + 8, extent.size());
  auto at = blob.size + kHeaderSize + blob.records * kRecordSize;
  if (auto noted = write_at(blob.fd.get(), record, at, blob.temporary.string()); !noted) return noted;
  ++blob.records;
  return {};
}

Status store_piece(BlobWriter::State& blob, Extent extent, std::span<const std::byte> bytes) {
  auto done = write_direct(blob, extent, bytes);
  auto written = write_at(blob.fd.get(), bytes.subspan(done), extent.begin + done, blob.temporary.string());
  // A whole small file is complete at once: nothing of it will ever be resumed.
  if (!written || bytes.size() == blob.size) return written;
  return note_piece(blob, extent);
}

// --- hashing -----------------------------------------------------------------------------------------------

static Error wrong_hash(const std::string& expected, const std::string& found) {
  return Error(Errc::integrity, "the content has the hash " + found + ", but " + expected + " was locked")
      .with_hint(
          "the bytes on the way or at the server differ from those that were locked; nothing was kept");
}

static void complete(BlobWriter::State& blob, Status status) {
  blob.finished = true;
  auto completion = std::move(blob.completion);
  completion(std::move(status));
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

static void begin_flush(Publisher& publisher, const std::shared_ptr<BlobWriter::State>& blob) {
  if (blob->hashed < blob->flushing + kEarlyFlush) return;
  publisher.begin_flush(blob, {.begin = blob->flushing, .end = blob->hashed});
  blob->flushing = blob->hashed;
}

static void hash(Publisher& publisher, Job& job) {
  auto& blob = *job.blob;
  if (blob.finished || job.generation != blob.generation) return;  // from before a restart
  if (job.failure) return complete(blob, fail(std::move(*job.failure)));
  blob.hashable.add(job.extent);
  if (job.extent.begin == blob.hashed && !job.bytes.empty()) {
    blob.hasher.update(job.bytes.bytes());
    blob.hashed = job.extent.end;
  }
  if (auto caught_up = read_back(blob); !caught_up) return complete(blob, std::move(caught_up));
  if (blob.hashed < blob.size) return begin_flush(publisher, job.blob);
  blob.finished = true;
  auto found = blob.hasher.finish_hex();
  if (found != blob.id.str()) return complete(blob, fail(wrong_hash(blob.id.str(), found)));
  publisher.push(job.blob);
}

BlobStore::Workers::Workers(unsigned count) {
  for (unsigned i = 0; i < count; ++i)
    hashers.push_back(std::make_unique<WorkThread>([this](Job& job) { hash(publisher, job); }, buffers));
}

WorkThread& BlobStore::Workers::hasher(const BlobId& id) {
  return *hashers[static_cast<unsigned char>(id.str().back()) % hashers.size()];
}

WorkThread& BlobStore::Workers::writer() {
  auto store = [this](Job& job) {
    auto stored = store_piece(*job.blob, job.extent, job.bytes.bytes());
    if (!stored) job.failure = std::move(stored).error();
    hasher(job.blob->id).push(std::move(job));
  };
  if (!writing) writing = std::make_unique<WorkThread>(store, buffers);
  return *writing;
}

}  // namespace kernels::cache
