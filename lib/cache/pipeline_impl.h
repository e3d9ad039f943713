#pragma once

// The threads behind a BlobStore, and what travels between them. Not part of the public interface.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/cache/blob_store.h"

namespace kernels::cache {

/// Everything about one blob. One thread at a time writes it: the one that receives, or, once `streams` is
/// set, the writing thread. One hashing thread hashes it.
struct BlobWriter::State {
  State(BlobId blob_id, std::uint64_t blob_size)
      : id(std::move(blob_id)), size(blob_size), hasher(id.hasher(size)) {}

  BlobStore::Workers* workers = nullptr;
  BlobId id;
  std::uint64_t size;
  std::filesystem::path temporary;
  std::filesystem::path final_path;
  UniqueFd fd;
  std::uint64_t resumed = 0;
  BlobStore::Completion completion;

  // Receiving thread only.
  ExtentSet written;
  bool streams = false;  // pieces go to the writing thread
  bool tried_to_stream = false;

  // The thread that writes.
  UniqueFd direct;            // past the page cache; invalid where that does not work
  std::uint64_t records = 0;  // in the tail

  // Hashing thread only.
  ExtentSet hashable;
  Hasher hasher;
  std::uint64_t hashed = 0;
  std::uint64_t flushing = 0;  // up to here the disk was asked to begin
  std::uint64_t generation = 0;
  bool finished = false;  // the completion was called or passed on
};

/// A piece of a blob on its way: received, written, hashed.
struct Job {
  std::shared_ptr<BlobWriter::State> blob;
  Extent extent;
  Buffer bytes;  // empty: read back from the file
  std::uint64_t generation = 0;
  std::optional<Error> failure;  // of writing it
  std::function<void()> other;   // a job without a blob
};

/// Buffers that were hashed and wait to be filled again. Fresh memory costs the kernel more than the copy
/// into it. Any thread.
class Buffers {
 public:
  Buffer take(std::size_t capacity);
  void give_back(Buffer buffer);

 private:
  std::mutex mutex_;
  std::map<std::size_t, std::vector<Buffer>> idle_;  // by capacity
  std::size_t idle_bytes_ = 0;
};

/// A thread that does one job after the other. `push` waits while the jobs in the queue hold too many bytes.
class WorkThread {
 public:
  WorkThread(std::function<void(Job&)> work, Buffers& buffers);
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;
  /// Ends after the job under way; what is left in the queue belongs to blobs that will be resumed.
  ~WorkThread();

  void push(Job job);

 private:
  void loop();

  std::function<void(Job&)> work_;
  Buffers& buffers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable space_;
  std::deque<Job> jobs_;
  std::size_t queued_ = 0;  // bytes
  bool stopping_ = false;
  std::thread thread_;
};

/// Flushes and renames verified blobs. One folder flush serves all blobs that are ready at the same time.
class Publisher {
 public:
  Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  ~Publisher();

  void push(std::shared_ptr<BlobWriter::State> blob);
  /// Lets the disk begin with a piece of a blob that is still growing, so that little is left for the flush.
  void begin_flush(std::shared_ptr<BlobWriter::State> blob, Extent extent);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<BlobWriter::State>> ready_;
  std::vector<std::pair<std::shared_ptr<BlobWriter::State>, Extent>> early_;
  bool stopping_ = false;
  std::thread thread_;
};

/// Writes a piece and notes it in the file's tail, in this order. On the thread that writes the blob.
Status store_piece(BlobWriter::State& blob, Extent extent, std::span<const std::byte> bytes);

/// The threads of a store: received pieces are pushed to `writer()` or, when they are written already, to
/// `hasher(id)`.
struct BlobStore::Workers {
  explicit Workers(unsigned count);

  WorkThread& hasher(const BlobId& id);
  /// Made when the first blob streams. Receiving thread.
  WorkThread& writer();

  Buffers buffers;
  Publisher publisher;  // outlives the hashing threads that push to it
  std::vector<std::unique_ptr<WorkThread>> hashers;
  std::unique_ptr<WorkThread> writing;  // ends before the hashing threads that it pushes to
};

}  // namespace kernels::cache
