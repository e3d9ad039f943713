#include "kernels/bundle/read.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/bundle/rules.h"

#include "unpack_process.h"

namespace kernels::bundle {

namespace fs = std::filesystem;

namespace {

/// A file by its descriptor: the one that is examined here is the one that the child reads.
class DescriptorSource final : public ByteSource {
 public:
  DescriptorSource(int fd, std::uint64_t size, const std::string& name) : fd_(fd), size_(size), name_(name) {}
  std::uint64_t size() const override { return size_; }
  Result<ByteView> view(std::uint64_t offset, std::uint64_t length) override {
    if (auto fits = check_view(offset, length); !fits) return fail(std::move(fits).error());
    buffer_.resize(length);
    auto got = read_at(fd_, buffer_, offset, name_);
    if (!got) return fail(std::move(got).error());
    if (*got != length) return fail(Errc::io, name_ + " became shorter while it was read");
    return ByteView(buffer_);
  }

 private:
  int fd_;
  std::uint64_t size_;
  const std::string& name_;
  std::vector<std::byte> buffer_;
};

/// The hashes that one blob must have: its own, and git's where the cache names it by that.
class BlobHashes {
 public:
  BlobHashes(const Entry& entry, const std::set<BlobId>& others) : sha256_(HashAlgorithm::sha256) {
    for (const auto& id : others)
      others_.emplace_back(id, id.hasher(entry.size));
  }
  void update(std::span<const std::byte> bytes) {
    sha256_.update(bytes);
    for (auto& [id, hasher] : others_)
      hasher.update(bytes);
  }
  Status check(const Entry& entry, const std::string& where) {
    if (auto good = compare(entry, entry.sha256, sha256_.finish_hex(), where); !good) return good;
    for (auto& [id, hasher] : others_)
      if (auto good = compare(entry, id.str(), hasher.finish_hex(), where); !good) return good;
    return {};
  }

 private:
  static Status compare(const Entry& entry, const std::string& wanted, const std::string& found,
                        const std::string& where) {
    if (wanted == found) return {};
    return refuse({.rule = "entry-content",
                   .where = where + ": " + in_ticks(entry.path),
                   .expected = "content with the hash " + wanted,
                   .found = found});
  }

  Hasher sha256_;
  std::vector<std::pair<BlobId, Hasher>> others_;
};

}  // namespace

struct Bundle::State {
  std::string where;
  UniqueFd file;
  std::uint64_t size = 0;
  Frame frame;
  UnpackProcess process;
  Confinement confinement;
  Index index;
  Lock lock;
  std::string lock_text;
  std::string sum_text;
  std::string trusted_root;
  std::size_t next_entry = 0;

  /// The beginning of the next entry, which must be the one that is expected.
  Status expect_entry(std::string_view name, std::optional<std::uint64_t> size_wanted,
                      std::uint64_t& size_found) {
    auto message = process.next();
    if (!message) return fail(std::move(message).error());
    bool is_entry = message->kind == Message::Kind::entry;
    if (!is_entry || message->text() != name)
      return refuse({.rule = "entry-order",
                     .where = where,
                     .expected = "the entry " + in_ticks(name),
                     .found = is_entry ? in_ticks(message->text()) : "the end of the archive"});
    size_found = message->value;
    if (size_wanted && *size_wanted != size_found)
      return refuse({.rule = "entry-size",
                     .where = where + ": " + in_ticks(name),
                     .expected = std::to_string(*size_wanted) + " bytes",
                     .found = std::to_string(size_found)});
    return {};
  }

  /// The content of the entry that has begun.
  Status read_content(std::uint64_t entry_size,
                      const std::function<Status(std::span<const std::byte>)>& take) {
    for (std::uint64_t done = 0; done < entry_size;) {
      auto message = process.next();
      if (!message) return fail(std::move(message).error());
      if (message->kind != Message::Kind::data || message->bytes.size() > entry_size - done)
        return refuse({.rule = "reader",
                       .where = where,
                       .expected = std::to_string(entry_size) + " bytes of content",
                       .found = "something else after " + std::to_string(done)});
      done += message->bytes.size();
      if (auto taken = take(message->bytes); !taken) return taken;
    }
    return {};
  }

  Result<std::string> read_text(std::uint64_t entry_size) {
    std::string text;
    auto read = read_content(entry_size, [&](std::span<const std::byte> bytes) {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return Status{};
    });
    if (!read) return fail(std::move(read).error());
    return text;
  }

  Status read_confinement() {
    auto message = process.next();
    if (!message) return fail(std::move(message).error());
    if (message->kind != Message::Kind::confined)
      return refuse(
          {.rule = "reader", .where = where, .expected = "its confinement", .found = "something else"});
    confinement = {.landlock = static_cast<int>(std::min<std::uint64_t>(message->value >> 1, 1000)),
                   .seccomp = (message->value & 1) != 0};
    log(LogLevel::info, "unpacking " + where + " in a process of its own: " + confinement.str());
    return {};
  }

  Status read_index() {
    std::uint64_t bytes = 0;
    if (auto good = expect_entry(kIndexName, {}, bytes); !good) return good;
    if (bytes > kMaxIndexBytes)
      return refuse({.rule = "index-size",
                     .where = where + ": `index.json`",
                     .expected = "at most " + std::to_string(kMaxIndexBytes) + " bytes",
                     .found = std::to_string(bytes)});
    auto text = read_text(bytes);
    if (!text) return fail(std::move(text).error());
    auto parsed = parse_index(*text, where + ": `index.json`");
    if (!parsed) return fail(std::move(parsed).error());
    index = std::move(*parsed);
    auto expected = archive_bytes(index, bytes);
    if (expected == frame.content_bytes) return {};
    return refuse({.rule = "archive-size",
                   .where = where,
                   .expected = "an archive of " + std::to_string(expected) + " bytes, as its index has it",
                   .found = std::to_string(frame.content_bytes)});
  }

  /// One of the texts at the front, checked as every entry is.
  Status read_front(std::string& text) {
    const auto& entry = index.entries.at(next_entry++);
    std::uint64_t bytes = 0;
    if (auto good = expect_entry(entry.path, entry.size, bytes); !good) return good;
    auto read = read_text(bytes);
    if (!read) return fail(std::move(read).error());
    BlobHashes hashes(entry, {});
    hashes.update(std::as_bytes(std::span(read->data(), read->size())));
    text = std::move(*read);
    return hashes.check(entry, where);
  }

  Status read_lock() {
    auto pins = parse_lock(lock_text, where + ": `kernels.lock`");
    if (!pins) return fail(std::move(pins).error().as(Errc::integrity));
    auto sum = parse_sum(sum_text, where + ": `kernels.sum`");
    if (!sum && sum.error().code() == Errc::unsupported) return fail(std::move(sum).error());
    if (!sum) return fail(std::move(sum).error().as(Errc::integrity));
    auto digest = sha256_hex(lock_text);
    if (sum->lock_sha256 != digest)
      return refuse({.rule = "lock-sum",
                     .where = where + ": `kernels.sum`",
                     .expected = "that of a `kernels.lock` with the hash " + digest,
                     .found = in_ticks(sum->lock_sha256)});
    lock = std::move(sum->lock);
    return check_against_lock(index, lock, where);
  }

  Status open(const fs::path& path) {
    where = "`" + path.string() + "`";
    auto opened = open_regular_file(path, size);
    if (!opened) return fail(std::move(opened).error());
    file = std::move(*opened);
    DescriptorSource source(file.get(), size, where);
    auto examined = examine_frame(source, where);
    if (!examined) return fail(std::move(examined).error());
    frame = *examined;
    auto good = process.start(file.get(), frame, where);
    if (good) good = read_confinement();
    if (good) good = read_index();
    for (auto* text : {&lock_text, &sum_text, &trusted_root})
      if (good) good = read_front(*text);
    if (good) good = read_lock();
    return good;
  }

  /// For each blob, the names that the cache has for it besides its own.
  std::map<std::string, std::set<BlobId>, std::less<>> other_names() const {
    std::map<std::string, std::set<BlobId>, std::less<>> out;
    for (const auto& kernel : index.kernels)
      for (const auto& item : kernel.files)
        if (!item.entry.blob.is_sha256()) out[item.sha256].insert(item.entry.blob);
    return out;
  }
};

Bundle::Bundle(std::unique_ptr<State> state) : state_(std::move(state)) {}
Bundle::~Bundle() = default;

Result<std::unique_ptr<Bundle>> Bundle::open(const fs::path& file) {
  auto state = std::make_unique<State>();
  if (auto good = state->open(file); !good) return fail(std::move(good).error());
  return std::unique_ptr<Bundle>(new Bundle(std::move(state)));
}

const std::string& Bundle::where() const {
  return state_->where;
}
const Frame& Bundle::frame() const {
  return state_->frame;
}
const Confinement& Bundle::confinement() const {
  return state_->confinement;
}
const Index& Bundle::index() const {
  return state_->index;
}
const Lock& Bundle::lock() const {
  return state_->lock;
}
const std::string& Bundle::lock_text() const {
  return state_->lock_text;
}
const std::string& Bundle::sum_text() const {
  return state_->sum_text;
}
const std::string& Bundle::trusted_root() const {
  return state_->trusted_root;
}

Status Bundle::read_blobs(BlobSink& sink, const std::stop_token& stop) {
  auto others = state_->other_names();
  while (state_->next_entry < state_->index.entries.size()) {
    const auto& entry = state_->index.entries.at(state_->next_entry++);
    std::uint64_t bytes = 0;
    if (auto good = state_->expect_entry(entry.path, entry.size, bytes); !good) return good;
    if (auto taken = sink.begin(entry); !taken) return taken;
    BlobHashes hashes(entry, others[entry.sha256]);
    auto read = state_->read_content(bytes, [&](std::span<const std::byte> piece) -> Status {
      if (stop.stop_requested()) return fail(Errc::interrupted, "stopped while reading " + state_->where);
      hashes.update(piece);
      return sink.data(piece);
    });
    if (read) read = hashes.check(entry, state_->where);
    if (read) read = sink.end(entry);
    if (!read) return read;
  }
  auto last = state_->process.next();
  if (!last) return fail(std::move(last).error());
  if (last->kind == Message::Kind::done) return {};
  return refuse({.rule = "entry-order",
                 .where = state_->where,
                 .expected = "the end of the archive",
                 .found = "the entry " + in_ticks(last->text())});
}

// --- the index and the lock ------------------------------------------------------------------------------

static const LockedKernel* find_kernel(const Lock& lock, const Kernel& kernel) {
  for (const auto& locked : lock.kernels)
    if (locked.repo == kernel.repo && locked.commit == kernel.commit && locked.ref == kernel.ref)
      return &locked;
  return nullptr;
}

static Status check_file(const File& file, const std::map<RepoPath, const FileEntry*>& locked,
                         const std::string& where) {
  auto refusal = [&](const std::string& expected, const std::string& found) {
    return refuse({.rule = "lock-index",
                   .where = where + ": " + in_ticks(file.entry.path.str()),
                   .expected = expected,
                   .found = found});
  };
  auto found = locked.find(file.entry.path);
  if (found == locked.end()) return refusal("a file of `kernels.sum`", "one that it does not have");
  if (found->second->size != file.entry.size)
    return refusal(std::to_string(found->second->size) + " bytes, as `kernels.sum` has it",
                   std::to_string(file.entry.size) + " in the index");
  if (found->second->blob != file.entry.blob)
    return refusal("the hash " + found->second->blob.str() + ", as `kernels.sum` has it",
                   file.entry.blob.str() + " in the index");
  return {};
}

static Status check_variants(const LockedKernel& locked, const std::set<RepoPath>& there,
                             const std::string& where) {
  for (const auto& variant : locked.variants) {
    auto missing =
        std::ranges::find_if(variant.files, [&](const FileEntry& f) { return !there.contains(f.path); });
    bool is_there =
        std::ranges::any_of(variant.files, [&](const FileEntry& f) { return there.contains(f.path); });
    if (!is_there || missing == variant.files.end()) continue;
    return refuse({.rule = "variant-whole",
                   .where = where,
                   .expected = "all files of the variant " + in_ticks(variant.name),
                   .found = "none at " + in_ticks(missing->path.str())});
  }
  return {};
}

Status check_against_lock(const Index& index, const Lock& lock, const std::string& where) {
  for (const auto& kernel : index.kernels) {
    const auto* locked = find_kernel(lock, kernel);
    if (locked == nullptr)
      return refuse({.rule = "lock-index",
                     .where = where,
                     .expected = "a kernel of `kernels.sum`",
                     .found = in_ticks(kernel.repo.str()) + " at " + kernel.commit.str() + " (" +
                              in_ticks(kernel.ref) + ")"});
    std::map<RepoPath, const FileEntry*> files;
    for (const auto& variant : locked->variants)
      for (const auto& file : variant.files)
        files.emplace(file.path, &file);
    std::set<RepoPath> there;
    for (const auto& file : kernel.files) {
      if (auto good = check_file(file, files, where); !good) return good;
      there.insert(file.entry.path);
    }
    if (auto good = check_variants(*locked, there, where); !good) return good;
  }
  return {};
}

}  // namespace kernels::bundle
