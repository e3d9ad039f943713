#include "content_reader.h"

#include <algorithm>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"

namespace kernels::bundle {

namespace fs = std::filesystem;

static constexpr std::size_t kPiece = 1 << 20;

std::unexpected<Error> wrong_bytes(const fs::path& path, const std::string& expected,
                                   const std::string& found) {
  return fail(Error(Errc::integrity, "`" + path.string() + "`: expected " + expected + ", found " + found +
                                         " (rule locked-content)")
                  .with_hint("run `kernels download` again, which fetches what is wrong"));
}

static Result<UniqueFd> open_content(const fs::path& path, std::uint64_t size) {
  std::uint64_t there = 0;
  auto fd = open_regular_file(path, there);
  if (!fd) return fail(std::move(fd).error());
  if (there != size) return wrong_bytes(path, std::to_string(size) + " bytes", std::to_string(there));
  return fd;
}

static Status read_piece(int fd, std::span<std::byte> piece, std::uint64_t offset, const fs::path& path) {
  auto got = read_at(fd, piece, offset, path.string());
  if (!got) return fail(std::move(got).error());
  if (*got == piece.size()) return {};
  return fail(Errc::io, "`" + path.string() + "` became shorter while it was read");
}

Status for_each_piece(const fs::path& path, std::uint64_t size, std::span<std::byte> buffer,
                      const std::function<Status(std::span<const std::byte>)>& take) {
  auto fd = open_content(path, size);
  if (!fd) return fail(std::move(fd).error());
  for (std::uint64_t offset = 0; offset < size;) {
    auto piece = buffer.first(std::min<std::uint64_t>(buffer.size(), size - offset));
    if (auto read = read_piece(fd->get(), piece, offset, path); !read) return read;
    if (auto taken = take(piece); !taken) return taken;
    offset += piece.size();
  }
  return {};
}

ContentReader::ContentReader(const std::vector<Content>& contents) : contents_(contents) {
  for (auto& slot : slots_)
    slot.bytes.resize(kPiece);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

ContentReader::~ContentReader() = default;

ContentReader::Slot* ContentReader::wait_for_slot(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  // One slot is with the taker, until it asks for the next.
  bool is_free = changed_.wait(lock, stop, [this] { return filled_ - taken_ < slots_.size() - 1; });
  return is_free ? &slots_.at(filled_ % slots_.size()) : nullptr;
}

void ContentReader::hand_over() {
  {
    std::lock_guard lock(mutex_);
    ++filled_;
  }
  changed_.notify_all();
}

Status ContentReader::read(const Content& content, const std::stop_token& stop) {
  auto fd = open_content(content.path, content.size);
  if (!fd) return fail(std::move(fd).error());
  Hasher hasher(HashAlgorithm::sha256);
  for (std::uint64_t offset = 0;;) {
    auto wanted = std::min<std::uint64_t>(kPiece, content.size - offset);
    auto* slot = wait_for_slot(stop);
    if (slot == nullptr) return {};
    slot->size = wanted;
    auto piece = std::span(slot->bytes).first(wanted);
    if (auto read = read_piece(fd->get(), piece, offset, content.path); !read) return read;
    hasher.update(piece);
    offset += wanted;
    if (offset == content.size)
      if (auto found = hasher.finish_hex(); found != content.sha256)
        return wrong_bytes(content.path, "content with the hash " + content.sha256, found);
    if (wanted > 0) hand_over();
    if (offset == content.size) return {};
  }
}

void ContentReader::run(const std::stop_token& stop) {
  for (const auto& content : contents_) {
    if (stop.stop_requested()) return;
    auto done = read(content, stop);
    if (done) continue;
    auto* slot = wait_for_slot(stop);
    if (slot == nullptr) return;
    slot->error = std::move(done).error();
    return hand_over();
  }
}

Result<std::span<const std::byte>> ContentReader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return filled_ > taken_; });
  auto& slot = slots_.at(taken_++ % slots_.size());
  lock.unlock();
  changed_.notify_all();
  if (slot.error) return fail(std::move(*slot.error));
  return std::span<const std::byte>(slot.bytes).first(slot.size);
}

}  // namespace kernels::bundle
