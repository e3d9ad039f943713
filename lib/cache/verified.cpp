#include "kernels/cache/verified.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <sstream>
#include <string_view>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/hash.h"

namespace kernels::cache {

namespace {

constexpr std::string_view kHeader = "kernels-verified 2\n";
constexpr std::size_t kKeySize = 32;

// By hand, because a stream for each line was a good part of a download that has nothing to do.
std::string_view next_field(std::string_view& rest, char end) {
  auto field = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(field.size() + 1, rest.size()));
  return field;
}

template <class Number>
bool read_number(std::string_view& rest, Number& value) {
  auto field = next_field(rest, ' ');
  auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  return code == std::errc() && end == field.data() + field.size();
}

std::string seal_of(std::string_view lines, std::string_view key, const RepoId& repo) {
  return hmac_sha256_hex(std::as_bytes(std::span(key)), repo.folder() + "\n" + std::string(lines));
}

/// A key that others could have read or written is none.
std::optional<std::string> read_key(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0) return std::nullopt;
  bool is_own = S_ISREG(info.st_mode) && info.st_uid == ::geteuid() && (info.st_mode & 077U) == 0;
  std::string key(kKeySize, '\0');
  if (!is_own || info.st_size != static_cast<off_t>(kKeySize) ||
      ::pread(fd.get(), key.data(), key.size(), 0) != static_cast<ssize_t>(kKeySize))
    return std::nullopt;
  return key;
}

/// Made beside and linked, so that of two processes that make one, both use the first.
Status make_key(const std::filesystem::path& path) {
  if (auto made = make_folders(path.parent_path()); !made) return made;
  std::array<std::byte, kKeySize> key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    return fail(system_error("make a key for", path.string(), errno));
  auto beside = path.string() + "." + random_suffix();
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail(system_error("write", beside, errno));
  auto written = write_at(fd.get(), key, 0, beside);
  // A key that is of no use, such as one that others can read, is replaced.
  bool replace = std::filesystem::exists(path) && !read_key(path);
  if (written &&
      (replace ? ::rename(beside.c_str(), path.c_str()) : ::link(beside.c_str(), path.c_str())) != 0 &&
      errno != EEXIST)
    written = fail(system_error("write", path.string(), errno));
  ::unlink(beside.c_str());
  return written;
}

}  // namespace

std::optional<std::string_view> unseal_record(std::string_view text, std::string_view key,
                                              const RepoId& repo) {
  constexpr std::string_view kSeal = "seal ";
  constexpr std::size_t kSealLine = kSeal.size() + 64 + 1;
  if (!text.starts_with(kHeader) || text.size() < kHeader.size() + kSealLine) return std::nullopt;
  auto lines = text.substr(0, text.size() - kSealLine);
  if (!lines.ends_with('\n') ||
      text.substr(lines.size()) != std::string(kSeal) + seal_of(lines, key, repo) + "\n")
    return std::nullopt;
  lines.remove_prefix(kHeader.size());
  return lines;
}

VerifiedRecord VerifiedRecord::load(const Layout& layout, const RepoId& repo) {
  if (layout.receipt_key().empty()) return {};
  auto text = read_file(layout.verified_record(repo));
  auto key = text ? read_key(layout.receipt_key()) : std::nullopt;
  auto lines = key ? unseal_record(*text, *key, repo) : std::nullopt;
  return of_lines(lines.value_or(""));
}

VerifiedRecord VerifiedRecord::of_lines(std::string_view lines) {
  VerifiedRecord record;
  while (!lines.empty())
    record.read_line(next_field(lines, '\n'));
  return record;
}

void VerifiedRecord::read_line(std::string_view line) {
  auto kind = next_field(line, ' ');
  if (kind == "blob") {
    auto id = next_field(line, ' ');
    FileStamp stamp;
    bool good = read_number(line, stamp.size) && read_number(line, stamp.modified_ns) &&
                read_number(line, stamp.changed_ns) && read_number(line, stamp.inode);
    if (good && BlobId::parse(id)) stamps_.emplace(id, stamp);
  }
  if (kind == "signature") {
    Receipt receipt;
    receipt.content = next_field(line, ' ');
    receipt.rules = next_field(line, ' ');
    bool good = read_number(line, receipt.verified_at);
    auto identity = from_base64(line);
    if (!good || !identity) return;
    receipt.identity.assign(reinterpret_cast<const char*>(identity->data()), identity->size());
    receipts_.insert_or_assign(receipt.content, std::move(receipt));
  }
}

bool VerifiedRecord::is_verified(const BlobId& id, const FileStamp& now) const {
  auto found = stamps_.find(id.str());
  return found != stamps_.end() && found->second == now;
}

void VerifiedRecord::note(const Layout& layout, const RepoId& repo, const BlobId& id) {
  auto stamp = file_stamp(layout.blob(repo, id));
  if (!stamp) return;
  stamps_[id.str()] = *stamp;
  changed_ = true;
}

const Receipt* VerifiedRecord::receipt(std::string_view content, std::string_view rules,
                                       std::int64_t now) const {
  auto found = receipts_.find(content);
  bool good = found != receipts_.end() && found->second.rules == rules && found->second.verified_at <= now;
  return good ? &found->second : nullptr;
}

void VerifiedRecord::note(Receipt receipt) {
  auto content = receipt.content;
  receipts_.insert_or_assign(std::move(content), std::move(receipt));
  changed_ = true;
}

Status VerifiedRecord::save(const Layout& layout, const RepoId& repo) const {
  auto path = layout.receipt_key();
  if (path.empty()) return {};
  auto key = read_key(path);
  if (!key) {
    if (auto made = make_key(path); !made) return made;
    key = read_key(path);
  }
  if (!key)
    return fail(Error(Errc::io, "`" + path.string() + "` is not a key that only this user can read")
                    .with_hint("remove it; until then everything is verified again in every run"));
  auto sealed = std::string(kHeader) + lines();
  return write_file(layout.verified_record(repo), sealed + "seal " + seal_of(sealed, *key, repo) + "\n",
                    Durable::no);
}

std::string VerifiedRecord::lines() const {
  std::ostringstream out;
  for (const auto& [id, stamp] : stamps_)
    out << "blob " << id << ' ' << stamp.size << ' ' << stamp.modified_ns << ' ' << stamp.changed_ns << ' '
        << stamp.inode << '\n';
  for (const auto& [content, receipt] : receipts_)
    out << "signature " << content << ' ' << receipt.rules << ' ' << receipt.verified_at << ' '
        << to_base64(std::as_bytes(std::span(receipt.identity))) << '\n';
  return out.str();
}

}  // namespace kernels::cache
