#include "kernels/base/file.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/hash.h"

namespace kernels {

namespace fs = std::filesystem;

Unfinished::~Unfinished() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

std::string random_suffix() {
  std::array<std::byte, 4> raw{};
  while (::getrandom(raw.data(), raw.size(), 0) < 0 && errno == EINTR) {
  }
  return to_hex(raw);
}

Result<UniqueFd> open_regular_file(const fs::path& path, std::uint64_t& size) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(Errc::not_found, "there is no file `" + path.string() + "`");
    return fail(system_error("open", path.string(), errno));
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail(system_error("examine", path.string(), errno));
  if (!S_ISREG(info.st_mode)) return fail(Errc::io, "`" + path.string() + "` is not a regular file");
  size = static_cast<std::uint64_t>(info.st_size);
  return fd;
}

Result<std::string> read_file(const fs::path& path, std::uint64_t limit) {
  std::uint64_t size = 0;
  auto fd = open_regular_file(path, size);
  if (!fd) return fail(std::move(fd).error());
  // One byte more than the file has: when it stays empty, that was the end. Files of /proc say 0.
  constexpr std::uint64_t kUnknownSize = 4096;
  std::string content(std::min(std::max(size, kUnknownSize), limit) + 1, '\0');
  for (std::size_t filled = 0;;) {
    ssize_t got = ::read(fd->get(), content.data() + filled, content.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error("read", path.string(), errno));
    filled += static_cast<std::size_t>(got);
    if (filled > limit)
      return fail(Errc::corrupt,
                  "`" + path.string() + "` is longer than the limit of " + std::to_string(limit) + " bytes");
    if (got == 0) {
      content.resize(filled);
      return content;
    }
    if (filled == content.size()) content.resize(std::min<std::uint64_t>(2 * filled, limit + 1));
  }
}

Status write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail(system_error("write", path, errno));
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return {};
}

Result<std::size_t> read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                            const std::string& path) {
  std::size_t total = 0;
  while (total < buffer.size()) {
    ssize_t got =
        ::pread(fd, buffer.data() + total, buffer.size() - total, static_cast<off_t>(offset + total));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error("read", path, errno));
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  return total;
}

Status make_folders(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) return fail(system_error("make the folder", path.string(), code.value()));
  return {};
}

Status rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return fail(system_error("rename `" + from.string() + "` to", to.string(), errno));
  return {};
}

Status sync_folder(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(system_error("open the folder", path.string(), errno));
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return fail(system_error("flush", path.string(), errno));
  return {};
}

namespace {
/// Removes a temporary file unless it was published.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  void keep() { path_.clear(); }

 private:
  fs::path path_;
};
}  // namespace

Status write_file(const fs::path& path, std::string_view content, Durable durable) {
  auto folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (auto made = make_folders(folder); !made) return made;
  fs::path temporary = path;
  temporary += "." + random_suffix() + ".tmp";
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) return fail(system_error("write", path.string(), errno));
  Temporary cleanup(temporary);
  auto bytes = std::as_bytes(std::span<const char>(content.data(), content.size()));
  if (auto written = write_at(fd.get(), bytes, 0, path.string()); !written) return written;
  if (durable == Durable::yes && ::fsync(fd.get()) != 0)
    return fail(system_error("flush", path.string(), errno));
  if (auto renamed = rename_path(temporary, path); !renamed) return renamed;
  cleanup.keep();
  return durable == Durable::yes ? sync_folder(folder) : Status{};
}

static std::optional<FileStamp> to_stamp(const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return std::nullopt;
  constexpr std::int64_t kSecond = 1'000'000'000;
  return FileStamp{.size = static_cast<std::uint64_t>(info.st_size),
                   .modified_ns = info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec,
                   .changed_ns = info.st_ctim.tv_sec * kSecond + info.st_ctim.tv_nsec,
                   .inode = info.st_ino};
}

std::optional<FileStamp> file_stamp(const fs::path& path) {
  return file_stamp(path.c_str());
}

std::optional<FileStamp> file_stamp(const char* path) {
  struct stat info{};
  if (::stat(path, &info) != 0) return std::nullopt;
  return to_stamp(info);
}

std::optional<FileStamp> plain_file_stamp(const char* path) {
  struct stat info{};
  if (::lstat(path, &info) != 0) return std::nullopt;
  return to_stamp(info);
}

std::optional<FileStamp> file_stamp(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return std::nullopt;
  return to_stamp(info);
}

std::pair<FileLock::Outcome, FileLock> FileLock::try_lock(const fs::path& path, Kind kind) {
  FileLock lock;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0664));
  if (!fd) return {Outcome::unavailable, std::move(lock)};
  if (::flock(fd.get(), (kind == Kind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0)
    return {errno == EWOULDBLOCK ? Outcome::held_by_another : Outcome::unavailable, std::move(lock)};
  lock.fd_ = std::move(fd);
  return {Outcome::locked, std::move(lock)};
}

}  // namespace kernels
