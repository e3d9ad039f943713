#include "frame.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

#include "kernels/base/bytes.h"

namespace kernels::bench {
namespace {

constexpr std::size_t kHead = 4;

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(system_error("write to", "the pipe between bench processes", errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// Fewer than asked for only at the end.
Result<std::size_t> read_all(int fd, char* to, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = read(fd, to + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error("read from", "the pipe between bench processes", errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::size_t> length_of(std::string_view head) {
  auto length = ByteView(head).le<std::uint32_t>(0);
  if (!length) return std::unexpected(std::move(length).error());
  if (*length > kMaxFrame) return fail(Errc::corrupt, "a message between bench processes is too long");
  return *length;
}

Result<std::string> frame_of(std::string_view payload) {
  if (payload.size() > kMaxFrame) return fail(Errc::corrupt, "a message between bench processes is too long");
  std::string frame;
  for (unsigned shift = 0; shift < 32; shift += 8)
    frame += static_cast<char>((payload.size() >> shift) & 0xff);
  frame += payload;
  return frame;
}

}  // namespace

Status write_frame(int fd, std::string_view payload) {
  auto frame = frame_of(payload);
  return frame ? write_all(fd, *frame) : fail(std::move(frame).error());
}

Status send_frame(int socket, std::string_view payload) {
  auto frame = frame_of(payload);
  if (!frame) return fail(std::move(frame).error());
  for (std::string_view rest = *frame; !rest.empty();) {
    const ssize_t sent = ::send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail(system_error("write to", "the socket between bench processes", errno));
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::optional<std::string>> read_frame(int fd) {
  std::array<char, kHead> head{};
  auto got = read_all(fd, head.data(), head.size());
  if (!got) return std::unexpected(std::move(got).error());
  if (*got == 0) return std::nullopt;
  if (*got < kHead) return fail(Errc::corrupt, "a message between bench processes is cut off");
  auto length = length_of({head.data(), head.size()});
  if (!length) return std::unexpected(std::move(length).error());
  std::string payload(*length, '\0');
  got = read_all(fd, payload.data(), payload.size());
  if (!got) return std::unexpected(std::move(got).error());
  if (*got < payload.size()) return fail(Errc::corrupt, "a message between bench processes is cut off");
  return payload;
}

Result<std::optional<std::string>> FrameReader::next() {
  if (buffer_.size() < kHead) return std::nullopt;
  auto length = length_of(std::string_view(buffer_).substr(0, kHead));
  if (!length) return std::unexpected(std::move(length).error());
  if (buffer_.size() < kHead + *length) return std::nullopt;
  std::string payload = buffer_.substr(kHead, *length);
  buffer_.erase(0, kHead + *length);
  return payload;
}

}  // namespace kernels::bench
