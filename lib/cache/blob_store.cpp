// How a blob is taken in.
//
// The thread that receives calls `write`: the bytes go to the file at once (the page cache, in truth) and a
// record of the piece goes to the file's tail, in this order, so that a kill between the two loses a piece
// but never claims one. Then the buffer goes to a hashing thread. That thread hashes each file from front to
// back: a buffer that continues the hashed part is hashed from memory; one that came early is let go, and
// read back from the page cache when its turn comes. So memory does not grow with the number of ranges in
// flight, and a file that comes in order is never read back.
//
// A large file that comes in order takes another way: its pieces go to a thread that writes them past the
// page cache, and from there to the hashing thread. That spares the copy and the flush of a gigabyte at the
// end.
//
// The tail lies behind the content: a header, then records of 16 bytes (offset, length). It names the process
// that writes, because a file may only be taken over when its writer is gone. flock alone cannot tell: on
// some network file systems it does nothing. So the writer must be dead on this host, the lock must be free,
// and the file must be renamed by the one that takes it over: of several, one succeeds.

#include "kernels/cache/blob_store.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#include "partial_impl.h"
#include "pipeline_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

static constexpr std::size_t kReuseBuffer = 256 << 10;
static constexpr std::uint64_t kReserveAbove = 1 << 20;
/// A file of this size that comes in order, in pieces of that size, is written past the page cache.
static constexpr std::uint64_t kStreamAbove = 64 << 20;
static constexpr std::size_t kStreamPiece = 512 << 10;

BlobStore::BlobStore(Layout layout)
    : layout_(std::move(layout)),
      workers_(std::make_unique<Workers>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U))) {}

BlobStore::~BlobStore() = default;

const Layout& BlobStore::layout() const {
  return layout_;
}

Buffer BlobStore::buffer(std::size_t capacity) {
  return workers_->buffers.take(capacity);
}

// --- opening and taking over ------------------------------------------------------------------------------

static Status start_tail(BlobWriter::State& blob) {
  blob.records = 0;
  blob.written = {};
  // The records go; the space for the content may stay.
  if (::ftruncate(blob.fd.get(), static_cast<off_t>(blob.size)) != 0)
    return fail(system_error("make room in", blob.temporary.string(), errno));
  auto header = make_header();
  return write_at(blob.fd.get(), header, blob.size, blob.temporary.string());
}

/// Halves what the kernel spends on each write to ext4, and finds a full disk before anything is fetched.
/// Where the file system cannot do it nothing is lost.
static Status reserve_space(const BlobWriter::State& blob) {
  if (blob.size <= kReserveAbove) return {};
  int failed = ::fallocate(blob.fd.get(), 0, 0, static_cast<off_t>(blob.size)) == 0 ? 0 : errno;
  if (failed != ENOSPC && failed != EDQUOT) return {};
  return fail(
      system_error("reserve " + std::to_string(blob.size) + " bytes for", blob.final_path.string(), failed));
}

static Status create_temporary(BlobWriter::State& blob, const fs::path& folder) {
  blob.temporary = folder / (blob.id.str() + "." + random_suffix() + ".incomplete");
  int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  blob.fd = UniqueFd(::open(blob.temporary.c_str(), flags, 0666));
  if (!blob.fd) return fail(system_error("create", blob.temporary.string(), errno));
  ::flock(blob.fd.get(), LOCK_EX | LOCK_NB);
  if (auto reserved = reserve_space(blob); !reserved) {
    ::unlink(blob.temporary.c_str());
    return reserved;
  }
  return start_tail(blob);
}

/// Reads the tail of a file that another process left behind; false if it is not one that may be taken over.
static bool read_tail(BlobWriter::State& blob) {
  auto stamp = file_stamp(blob.fd.get());
  if (!stamp || stamp->size < blob.size + kHeaderSize) return false;
  auto tail_size = std::min<std::uint64_t>(stamp->size - blob.size, kHeaderSize + kMaxRecords * kRecordSize);
  std::vector<std::byte> tail(tail_size);
  auto got = read_at(blob.fd.get(), tail, blob.size, blob.temporary.string());
  if (!got || *got != tail.size()) return false;
  ByteView view{std::span<const std::byte>(tail)};
  auto magic = view.slice(0, kMagic.size());
  if (!magic || std::memcmp(magic->bytes().data(), kMagic.data(), kMagic.size()) != 0) return false;
  if (!writer_is_gone(view)) return false;
  for (std::uint64_t at = kHeaderSize; at + kRecordSize <= tail.size(); at += kRecordSize) {
    auto begin = view.le<std::uint64_t>(at).value_or(0);
    auto length = view.le<std::uint64_t>(at + 8).value_or(0);
    if (begin > blob.size || length > blob.size - begin) return false;
    blob.written.add({.begin = begin, .end = begin + length});
    ++blob.records;
  }
  return true;
}

/// Nobody else may hold a way to change the file after it was hashed: another owner, another name for it.
static bool is_ours_alone(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == ::geteuid() && info.st_nlink == 1;
}

static bool take_over(BlobWriter::State& blob, const fs::path& left_behind) {
  blob.fd = UniqueFd(::open(left_behind.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!blob.fd || !is_ours_alone(blob.fd.get()) || ::flock(blob.fd.get(), LOCK_EX | LOCK_NB) != 0)
    return false;
  blob.temporary = left_behind;
  blob.written = {};
  blob.records = 0;
  if (!read_tail(blob)) return false;
  auto own = left_behind.parent_path() / (blob.id.str() + "." + random_suffix() + ".incomplete");
  if (::rename(left_behind.c_str(), own.c_str()) != 0) return false;
  blob.temporary = own;
  blob.resumed = blob.written.total();
  auto header = make_header();
  return write_at(blob.fd.get(), header, blob.size, own.string()).has_value();
}

static bool find_left_behind(BlobWriter::State& blob, const fs::path& folder) {
  std::error_code code;
  std::vector<fs::path> candidates;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    auto name = it->path().filename().string();
    if (name.starts_with(blob.id.str() + ".") && name.ends_with(".incomplete"))
      candidates.push_back(it->path());
  }
  return std::ranges::any_of(candidates, [&](const auto& candidate) { return take_over(blob, candidate); });
}

Result<std::shared_ptr<BlobWriter>> BlobStore::open(const RepoId& repo, const BlobId& id, std::uint64_t size,
                                                    Completion completion) {
  auto folder = layout_.blobs(repo);
  if (auto inside = check_no_links(layout_, repo, folder); !inside) return fail(std::move(inside).error());
  if (auto made = make_folders(folder); !made) return fail(std::move(made).error());
  auto blob = std::make_shared<BlobWriter::State>(id, size);
  blob->workers = workers_.get();
  blob->final_path = layout_.blob(repo, id);
  blob->completion = std::move(completion);
  if (!find_left_behind(*blob, folder)) {
    blob->resumed = 0;
    if (auto created = create_temporary(*blob, folder); !created) return fail(std::move(created).error());
  }
  // What is there already is hashed from the file; for a file of no bytes this is the whole work.
  auto front = blob->written;
  for (std::uint64_t at = 0; at < size;) {
    auto end = front.contiguous_end(at);
    if (end > at)
      workers_->hasher(id).push(
          {.blob = blob, .extent = {at, end}, .bytes = {}, .generation = 0, .failure = {}, .other = {}});
    auto gaps = front.missing(size);
    auto next = std::ranges::find_if(gaps, [&](const Extent& gap) { return gap.begin >= end; });
    if (next == gaps.end()) break;
    at = next->end;
  }
  if (size == 0)
    workers_->hasher(id).push(
        {.blob = blob, .extent = {}, .bytes = {}, .generation = 0, .failure = {}, .other = {}});
  return std::make_shared<BlobWriter>(blob);
}

Status verify_blob(const fs::path& path, const BlobId& id, std::uint64_t size) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  auto stamp = fd ? file_stamp(fd.get()) : std::nullopt;
  if (!stamp) return fail(Errc::not_found, "`" + path.string() + "` is missing");
  if (stamp->size != size)
    return fail(Errc::integrity, "`" + path.string() + "` has " + std::to_string(stamp->size) +
                                     " bytes, but " + std::to_string(size) + " were locked");
  auto hasher = id.hasher(size);
  std::vector<std::byte> buffer(std::clamp<std::uint64_t>(size, 1, kReuseBuffer));
  for (std::uint64_t at = 0; at < size;) {
    auto got = read_at(fd.get(), buffer, at, path.string());
    if (!got) return fail(std::move(got).error());
    if (*got == 0) break;
    hasher.update(std::span<const std::byte>(buffer).first(*got));
    at += *got;
  }
  auto found = hasher.finish_hex();
  if (found == id.str()) return {};
  return fail(Errc::integrity, "`" + path.string() + "` has the hash " + found);
}

void BlobStore::verify(const fs::path& path, const BlobId& id, std::uint64_t size, Completion completion) {
  auto job = [path, id, size, completion = std::move(completion)] {
    completion(verify_blob(path, id, size));
  };
  workers_->hasher(id).push(
      {.blob = {}, .extent = {}, .bytes = {}, .generation = 0, .failure = {}, .other = std::move(job)});
}

// --- writing -----------------------------------------------------------------------------------------------

std::uint64_t BlobWriter::size() const {
  return state_->size;
}

std::vector<Extent> BlobWriter::missing() const {
  return state_->written.missing(state_->size);
}

std::uint64_t BlobWriter::resumed() const {
  return state_->resumed;
}

Status BlobWriter::write(std::uint64_t offset, Buffer bytes) {
  auto& blob = *state_;
  if (offset > blob.size || bytes.size() > blob.size - offset)
    return fail(Errc::integrity,
                "the server sends more bytes than the " + std::to_string(blob.size) + " locked");
  Extent extent{.begin = offset, .end = offset + bytes.size()};
  auto gaps = blob.written.missing_within(extent);
  if (gaps.size() == 1 && gaps.front() == extent) return write_new(extent, std::move(bytes));
  // Bytes that are there may have been hashed already: replacing them would let anything pass.
  for (const auto& gap : gaps) {
    Buffer part(gap.size());
    part.append(bytes.bytes().subspan(gap.begin - offset, gap.size()));
    if (auto written = write_new(gap, std::move(part)); !written) return written;
  }
  return {};
}

/// Whether the pieces of this blob go to the writing thread; `extent` is about to come.
static bool becomes_stream(BlobWriter::State& blob, Extent extent) {
  bool is_likely = blob.size >= kStreamAbove && extent.size() >= kStreamPiece &&
                   blob.written.contiguous_end(0) == extent.begin;
  if (blob.streams || blob.tried_to_stream || !is_likely) return blob.streams;
  blob.tried_to_stream = true;
  blob.direct = UniqueFd(::open(blob.temporary.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW));
  blob.streams = static_cast<bool>(blob.direct);
  return blob.streams;
}

Status BlobWriter::write_new(Extent extent, Buffer bytes) {
  auto& blob = *state_;
  Job job{.blob = state_,
          .extent = extent,
          .bytes = std::move(bytes),
          .generation = blob.generation,
          .failure = {},
          .other = {}};
  bool is_streamed = becomes_stream(blob, extent);
  if (!is_streamed)
    if (auto stored = store_piece(blob, extent, job.bytes.bytes()); !stored) return stored;
  blob.written.add(extent);
  (is_streamed ? blob.workers->writer() : blob.workers->hasher(blob.id)).push(std::move(job));
  return {};
}

Status BlobWriter::restart(BlobStore::Completion completion) {
  auto& blob = *state_;
  blob.completion = std::move(completion);
  blob.finished = false;
  blob.resumed = 0;
  ++blob.generation;
  blob.hasher = blob.id.hasher(blob.size);
  blob.hashable = {};
  blob.hashed = 0;
  blob.flushing = 0;
  return start_tail(blob);
}

void BlobWriter::discard() {
  // The descriptor stays with the state: the publishing thread may be using it.
  ::unlink(state_->temporary.c_str());
}

}  // namespace kernels::cache
