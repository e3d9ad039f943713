#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/error.h"

namespace kernels::bundle {

/// A file to read, and what must be in it.
struct Content {
  std::filesystem::path path;
  std::uint64_t size = 0;
  std::string sha256;
};

/// Reads and hashes contents on a thread of its own, a few pieces ahead of whoever takes them.
class ContentReader {
 public:
  /// The list must outlive the reader.
  explicit ContentReader(const std::vector<Content>& contents);
  ContentReader(const ContentReader&) = delete;
  ContentReader& operator=(const ContentReader&) = delete;
  ~ContentReader();

  /// The next piece, valid until the next call. Pieces come in the order of the list; none reaches over two
  /// contents, and an empty content has none. Waits for it.
  /// Errors  not_found; integrity: a content is not what its hash says, found at its last piece at the
  /// latest;
  ///         io. Not after the last piece.
  Result<std::span<const std::byte>> next();

 private:
  struct Slot {
    std::vector<std::byte> bytes;
    std::size_t size = 0;
    std::optional<Error> error = {};
  };
  void run(const std::stop_token& stop);
  Status read(const Content& content, const std::stop_token& stop);
  /// The slot to fill next, when it is free; nothing if the reader is being destroyed.
  Slot* wait_for_slot(const std::stop_token& stop);
  void hand_over();

  const std::vector<Content>& contents_;
  std::array<Slot, 8> slots_;
  std::size_t filled_ = 0;  ///< slots handed over so far
  std::size_t taken_ = 0;   ///< slots taken so far
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;  // last: it uses all the others
};

/// Reads a whole file of `size` bytes in pieces of the buffer's size. Errors  not_found; io; integrity: it
/// has another size.
Status for_each_piece(const std::filesystem::path& path, std::uint64_t size, std::span<std::byte> buffer,
                      const std::function<Status(std::span<const std::byte>)>& take);

/// The error for a file of the cache whose content is not what it should be.
std::unexpected<Error> wrong_bytes(const std::filesystem::path& path, const std::string& expected,
                                   const std::string& found);

}  // namespace kernels::bundle
