#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "kernels/base/error.h"
#include "kernels/bundle/frame.h"
#include "kernels/bundle/index.h"
#include "kernels/bundle/sandbox.h"
#include "kernels/model/lock.h"

namespace kernels::bundle {

/// Takes the blobs of a bundle one after the other. `end` is called when the blob is whole and its hashes are
/// right; a blob without `end` must be thrown away. A failure ends the reading and is what it returns.
class BlobSink {
 public:
  virtual ~BlobSink() = default;
  virtual Status begin(const Entry& blob) = 0;
  virtual Status data(std::span<const std::byte> bytes) = 0;
  virtual Status end(const Entry& blob) = 0;
};

/// A bundle that is being read. Everything is held against rules before anything is handed out, the texts at
/// the front when it is opened: then the index is known to be consistent, to describe an archive of exactly
/// the size that will be unpacked, and to agree with the lock in the bundle. See rules.h.
///
/// The bytes are unpacked in a process of its own without rights (see sandbox.h), which is not trusted:
/// names, sizes, order and hashes are judged here. Threads  not for two at once.
class Bundle {
 public:
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;
  ~Bundle();

  /// Errors  not_found; integrity: a rule is broken, see rules.h; corrupt as of `parse_lock`, `parse_sum`,
  ///         given as integrity; unsupported: of a newer program; io.
  /// Cost    one pass over the file without unpacking it, and what the texts take.
  static Result<std::unique_ptr<Bundle>> open(const std::filesystem::path& file);

  const std::string& where() const;  ///< the file as it stands in errors
  const Frame& frame() const;
  const Confinement& confinement() const;
  const Index& index() const;
  const Lock& lock() const;  ///< of `kernels.lock` and `kernels.sum`
  const std::string& lock_text() const;
  const std::string& sum_text() const;
  const std::string& trusted_root() const;

  /// Reads the blobs to the end; once. Errors  integrity; io; interrupted; what the sink fails with.
  Status read_blobs(BlobSink& sink, const std::stop_token& stop);

 private:
  struct State;
  explicit Bundle(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether an index holds only what the lock names, and of each variant all or nothing.
/// Errors  integrity: `lock-index`, `variant-whole`.
Status check_against_lock(const Index& index, const Lock& lock, const std::string& where);

}  // namespace kernels::bundle
