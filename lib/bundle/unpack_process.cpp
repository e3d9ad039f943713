#include "unpack_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/utf8.h"
#include "kernels/bundle/rules.h"

#include "archive_walk.h"
#include "zstd_input.h"

namespace kernels::bundle {

namespace {

constexpr std::size_t kBuffer = 1 << 20;
constexpr std::uint64_t kMaxPayload = 256 << 10;

struct Header {
  std::uint32_t kind;
  std::uint32_t length;
  std::uint64_t value;
};

// --- in the child ----------------------------------------------------------------------------------------

constexpr int kArchive = 0;
constexpr int kAnswers = 1;

class Messenger final : public EntrySink {
 public:
  Status begin(std::string_view name, std::uint64_t size) override {
    return send(Message::Kind::entry, size, std::as_bytes(std::span(name.data(), name.size())));
  }
  Status data(std::span<const std::byte> bytes) override {
    for (; bytes.size() > kMaxPayload; bytes = bytes.subspan(kMaxPayload))
      if (auto sent = send(Message::Kind::data, 0, bytes.first(kMaxPayload)); !sent) return sent;
    return send(Message::Kind::data, 0, bytes);
  }

  static Status send(Message::Kind kind, std::uint64_t value, std::span<const std::byte> bytes) {
    bytes = bytes.first(std::min<std::size_t>(bytes.size(), kMaxPayload));
    Header header{.kind = static_cast<std::uint32_t>(kind),
                  .length = static_cast<std::uint32_t>(bytes.size()),
                  .value = value};
    std::array<iovec, 2> parts = {
        {{.iov_base = &header, .iov_len = sizeof(header)},
         {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()}}};
    for (std::size_t part = 0; part < parts.size();) {
      auto written = ::writev(kAnswers, parts.data() + part, static_cast<int>(parts.size() - part));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail(Errc::io, "nobody listens");
      for (auto rest = static_cast<std::size_t>(written); part < parts.size();) {
        auto taken = std::min(rest, parts.at(part).iov_len);
        parts.at(part).iov_base = static_cast<std::byte*>(parts.at(part).iov_base) + taken;
        parts.at(part).iov_len -= taken;
        rest -= taken;
        if (parts.at(part).iov_len > 0) break;
        ++part;
      }
    }
    return {};
  }
};

void close_all_others() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, 3U, ~0U, 0U) == 0) return;
#endif
  for (int fd = 3; fd < 4096; ++fd)
    ::close(fd);
}

/// The two descriptors in their places, nothing else open.
bool arrange_descriptors(int archive, int answers) {
  // Above 2 first: one of them may be where the other has to go.
  int from = ::fcntl(archive, F_DUPFD, 3);
  int to = ::fcntl(answers, F_DUPFD, 3);
  int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (from < 0 || to < 0) return false;
  if (::dup2(from, kArchive) < 0 || ::dup2(to, kAnswers) < 0) return false;
  if (nothing < 0 || ::dup2(nothing, STDERR_FILENO) < 0) ::close(STDERR_FILENO);
  close_all_others();
  return true;
}

Status unpack(const Frame& frame, const std::string& where) {
  // The window, which zstd rounds up, and what buffers and messages take.
  auto confined =
      confine_this_process({.memory_bytes = 2 * frame.window_bytes + (64ULL << 20),
                            .processor = std::chrono::seconds(60 + frame.content_bytes / (20ULL << 20))});
  auto packed = static_cast<std::uint64_t>(confined.landlock) << 1 | (confined.seccomp ? 1 : 0);
  if (auto sent = Messenger::send(Message::Kind::confined, packed, {}); !sent) return sent;
  std::vector<std::byte> buffer(256 << 10);
  std::uint64_t offset = 0;
  auto input = [&]() -> Result<std::span<const std::byte>> {
    auto got = read_at(kArchive, buffer, offset, where);
    if (!got) return fail(std::move(got).error());
    offset += *got;
    return std::span<const std::byte>(buffer.data(), *got);
  };
  ZstdInput unpacked(input, where);
  Messenger messenger;
  return walk_archive([&unpacked] { return unpacked.next(); }, where, messenger);
}

[[noreturn]] void run_child(int archive, int answers, const Frame& frame, const std::string& where) {
  ::signal(SIGINT, SIG_IGN);  // the parent stops, and takes this process along
  ::signal(SIGTERM, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  if (!arrange_descriptors(archive, answers)) ::_exit(1);
  auto done = unpack(frame, where);
  auto kind = done ? Message::Kind::done : Message::Kind::refused;
  auto text = done ? std::string() : done.error().text();
  auto sent = Messenger::send(kind, 0, std::as_bytes(std::span(text.data(), text.size())));
  ::_exit(sent ? 0 : 1);
}

// --- on this side ----------------------------------------------------------------------------------------

/// What the child says goes to a terminal: one line of text, whatever it was.
std::string one_line(std::string_view text) {
  constexpr std::size_t kMost = 1000;
  std::string out(text.substr(0, kMost));
  bool is_text = is_utf8(out);
  for (char& letter : out)
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f' ||
        (!is_text && static_cast<unsigned char>(letter) > '~'))
      letter = '?';
  return out;
}

}  // namespace

UnpackProcess::~UnpackProcess() {
  answers_.reset();
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Status UnpackProcess::start(int archive, const Frame& frame, std::string where) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(system_error("make a pipe to unpack", where, errno));
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETPIPE_SZ, static_cast<int>(kBuffer));  // fewer waits, where that is allowed
  child_ = ::fork();
  if (child_ < 0) return fail(system_error("start a process to unpack", where, errno));
  if (child_ == 0) run_child(archive, write_end.get(), frame, where);
  listen(std::move(read_end), std::move(where));
  return {};
}

void UnpackProcess::listen(UniqueFd answers, std::string where) {
  answers_ = std::move(answers);
  where_ = std::move(where);
  buffer_.resize(kBuffer);
}

std::unexpected<Error> UnpackProcess::ended() {
  int status = 0;
  while (child_ > 0 && ::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
  std::string how = WIFSIGNALED(status) ? "its end by signal " + std::to_string(WTERMSIG(status)) +
                                              (WTERMSIG(status) == SIGXCPU ? ", which is its time limit" : "")
                                        : "its end before the archive's";
  return refuse({.rule = "reader",
                 .where = where_,
                 .expected = "the process that unpacks to read to the end",
                 .found = how});
}

/// Makes `wanted` bytes of the answer stand in the buffer, at least.
Status UnpackProcess::fill(std::size_t wanted) {
  if (end_ - begin_ >= wanted) return {};
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  while (end_ < wanted) {
    auto got = ::read(answers_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error("read the answer of the process that unpacks", where_, errno));
    if (got == 0) return ended();
    end_ += static_cast<std::size_t>(got);
  }
  return {};
}

Result<Message> UnpackProcess::next() {
  if (auto filled = fill(sizeof(Header)); !filled) return fail(std::move(filled).error());
  Header header{};
  std::memcpy(&header, buffer_.data() + begin_, sizeof(header));
  if (header.length > kMaxPayload || header.kind < 1 || header.kind > 5)
    return refuse({.rule = "reader", .where = where_, .expected = "a message", .found = "something else"});
  if (auto filled = fill(sizeof(Header) + header.length); !filled) return fail(std::move(filled).error());
  Message message{.kind = static_cast<Message::Kind>(header.kind),
                  .value = header.value,
                  .bytes = {buffer_.data() + begin_ + sizeof(Header), header.length}};
  begin_ += sizeof(Header) + header.length;
  if (message.kind == Message::Kind::refused) return fail(Errc::integrity, one_line(message.text()));
  return message;
}

}  // namespace kernels::bundle
