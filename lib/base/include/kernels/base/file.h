#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"

namespace kernels {

/// Owns one file descriptor; closes it. -1 means none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// A file or folder, with all that is in it, that goes away with this guard unless it is kept.
class Unfinished {
 public:
  explicit Unfinished(std::filesystem::path path) : path_(std::move(path)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished();
  void keep() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

/// Whether written data must survive a power loss before the call returns.
enum class Durable { no, yes };

/// Opens a regular file for reading and says its size in bytes. FIFOs, devices and folders are refused
/// without blocking; links are followed. Errors  not_found; io.
Result<UniqueFd> open_regular_file(const std::filesystem::path& path, std::uint64_t& size);

/// The whole content of a regular file. FIFOs, devices and folders are refused without blocking.
/// Errors  not_found; io; corrupt when it is longer than `limit` bytes.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t limit = 64ULL << 20);

/// Replaces `path` by `content` in one step: a temporary sibling, flushed, then renamed. Readers see the old
/// or the new content, never less. Missing parent folders are made. The mode is 0666 less the umask.
Status write_file(const std::filesystem::path& path, std::string_view content, Durable durable);

/// Writes all bytes at `offset`, however often the system call returns early. `path` is for the error text.
Status write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset, const std::string& path);

/// Reads up to `buffer.size()` bytes at `offset`; fewer only at the end of the file.
Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                            const std::string& path);

/// mkdir -p, with an Error that names the folder.
Status make_folders(const std::filesystem::path& path);

/// rename(2); both on one file system.
Status rename_path(const std::filesystem::path& from, const std::filesystem::path& to);

/// Flushes a folder's entries to the disk, so that a rename inside it survives a power loss.
Status sync_folder(const std::filesystem::path& path);

/// What stat(2) says of a regular file, as far as it tells whether the content is still the one seen before.
struct FileStamp {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};
/// Nothing if there is no regular file (links are followed).
std::optional<FileStamp> file_stamp(const std::filesystem::path& path);
std::optional<FileStamp> file_stamp(const char* path);
std::optional<FileStamp> file_stamp(int fd);
/// The same of the path itself: nothing for a link, wherever it leads.
std::optional<FileStamp> plain_file_stamp(const char* path);

/// An advisory lock of flock(2), released when destroyed. Where locks do not work (read-only or network file
/// systems) `try_lock` says so; nothing here relies on a lock for correctness.
class FileLock {
 public:
  enum class Outcome { locked, held_by_another, unavailable };
  enum class Kind { exclusive, shared };

  /// Takes the lock on `path`, making the file if needed, without waiting.
  static std::pair<Outcome, FileLock> try_lock(const std::filesystem::path& path,
                                               Kind kind = Kind::exclusive);

 private:
  UniqueFd fd_;
};

/// Eight random lower-case hexadecimal characters for names of temporary files.
std::string random_suffix();

}  // namespace kernels
