#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/buffer.h"
#include "kernels/cache/extents.h"
#include "kernels/cache/layout.h"
#include "kernels/model/file_entry.h"

namespace kernels::cache {

/// Takes downloads into the cache: hashes them while they come, publishes them only when they are right.
///
/// A blob is written to `blobs/<hash>.<8 hex>.incomplete`. Which pieces are already there is kept behind the
/// content in the same file, so that a later run goes on where a killed one stopped. When all bytes are there
/// and the hash is right, that tail is cut off, the content flushed, and the file renamed: `blobs/<hash>`
/// never holds anything else than its bytes, whatever happens to the program or the machine.
///
/// Threads  one thread opens and writes. Hashing runs on threads of the store, flushing and renaming on
/// another;
///          completions are called there and should only hand over.
class BlobStore {
 public:
  /// Called once for each blob: published, or why not (integrity: the bytes are wrong; io).
  using Completion = std::function<void(Status)>;

  explicit BlobStore(Layout layout);
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;
  ~BlobStore();

  const Layout& layout() const;

  /// Starts a blob, or goes on with what a process that has ended left behind.
  /// Errors  io: no space, no permission, read-only.
  Result<std::shared_ptr<BlobWriter>> open(const RepoId& repo, const BlobId& id, std::uint64_t size,
                                           Completion completion);

  /// An empty buffer of that capacity for BlobWriter::write; one that was written and hashed before, if any
  /// is idle. Any thread.
  Buffer buffer(std::size_t capacity);

  /// Hashes a file that is there already; `completion` tells whether it is the blob of that name and size:
  /// done, not_found, integrity, or io.
  void verify(const std::filesystem::path& path, const BlobId& id, std::uint64_t size, Completion completion);

  struct Workers;

 private:
  Layout layout_;
  std::unique_ptr<Workers> workers_;
};

/// One blob under way. Destroyed before it is complete, its file stays for a later run to go on with;
/// `discard` removes it.
class BlobWriter {
 public:
  struct State;
  explicit BlobWriter(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::uint64_t size() const;
  /// What has still to come.
  std::vector<Extent> missing() const;
  /// Bytes that were there when it was opened.
  std::uint64_t resumed() const;
  /// Takes bytes for [offset, offset + size); what is there already stays as it is. Waits while too much
  /// waits to be hashed. Errors  integrity: outside the file; io.
  Status write(std::uint64_t offset, Buffer bytes);
  /// Forgets everything and starts over. Only after the completion was called with Errc::integrity.
  Status restart(BlobStore::Completion completion);
  /// Removes the unfinished file. Only when no hashing can be under way: after the completion.
  void discard();

 private:
  Status write_new(Extent extent, Buffer bytes);
  std::shared_ptr<State> state_;
};

/// Hashes a file on the calling thread and compares it with the name of its blob.
/// Errors  not_found: no such regular file; integrity: other bytes, or another size; io.
Status verify_blob(const std::filesystem::path& path, const BlobId& id, std::uint64_t size);

}  // namespace kernels::cache
