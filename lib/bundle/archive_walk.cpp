#include "archive_walk.h"

#include <memory>
#include <optional>

#include <archive.h>
#include <archive_entry.h>

#include "kernels/bundle/rules.h"

#include "tar_header.h"

namespace kernels::bundle {

namespace {

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

/// What libarchive's callback needs: it knows only one pointer.
struct Feed {
  const Input& input;
  std::optional<Error> failure = std::nullopt;
};

la_ssize_t feed(archive* reader, void* context, const void** bytes) {
  auto& source = *static_cast<Feed*>(context);
  auto next = source.input();
  if (!next) {
    ::archive_set_error(reader, EIO, "cannot be read");
    source.failure = std::move(next).error();
    return -1;
  }
  *bytes = next->data();
  return static_cast<la_ssize_t>(next->size());
}

std::string text_or_nothing(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

std::string type_name(archive_entry* entry) {
  if (const char* target = ::archive_entry_hardlink(entry)) return "a hard link to " + in_ticks(target);
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return "a regular file";
    case AE_IFLNK:
      return "a symbolic link to " + in_ticks(text_or_nothing(::archive_entry_symlink(entry)));
    case AE_IFDIR:
      return "a folder";
    case AE_IFCHR:
      return "a character device";
    case AE_IFBLK:
      return "a block device";
    case AE_IFIFO:
      return "a FIFO";
    default:
      return "something else";
  }
}

std::string format_name(int format) {
  if (format == ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE || format == ARCHIVE_FORMAT_TAR_PAX_RESTRICTED)
    return "one with a PAX header";
  if (format == ARCHIVE_FORMAT_TAR_GNUTAR) return "one with a GNU extension";
  return "an older tar format";
}

std::string octal(unsigned value) {
  std::string out;
  for (; value > 0; value >>= 3)
    out.insert(out.begin(), static_cast<char>('0' + (value & 7)));
  return "0" + out;
}

class Walk {
 public:
  Walk(archive* reader, Wrapping wrapping, const std::string& where, EntrySink& sink)
      : reader_(reader), wrapping_(wrapping), where_(where), sink_(sink) {}

  Status run() {
    // The reader itself, and zstd once: a frame within the frame would unpack to anything.
    if (::archive_filter_count(reader_) != (wrapping_ == Wrapping::zstd ? 2 : 1))
      return refused("frame-single", "one zstd frame around the archive", "another wrapping");
    for (;;) {
      archive_entry* entry = nullptr;
      int code = ::archive_read_next_header(reader_, &entry);
      if (code == ARCHIVE_EOF) return {};
      if (code != ARCHIVE_OK) return complaint();
      entry_ = in_ticks(text_or_nothing(::archive_entry_pathname(entry)));
      if (auto good = check(entry); !good) return good;
      if (auto good = pass_on(entry); !good) return good;
    }
  }

 private:
  std::unexpected<Error> refused(const char* rule, std::string expected, std::string found) const {
    return refuse({.rule = rule,
                   .where = entry_.empty() ? where_ : where_ + ": " + entry_,
                   .expected = std::move(expected),
                   .found = std::move(found)});
  }
  std::unexpected<Error> complaint() const {
    return refused("archive-form", "a tar archive",
                   "one that libarchive calls " + in_ticks(text_or_nothing(::archive_error_string(reader_))));
  }

  Status check(archive_entry* entry) {
    if (int format = ::archive_format(reader_); format != ARCHIVE_FORMAT_TAR_USTAR)
      return refused("entry-format", "a plain ustar entry", format_name(format));
    bool is_link = ::archive_entry_hardlink(entry) != nullptr || ::archive_entry_symlink(entry) != nullptr;
    if (is_link || ::archive_entry_filetype(entry) != AE_IFREG)
      return refused("entry-type", "a regular file", type_name(entry));
    if (auto mode = ::archive_entry_perm(entry); mode != kEntryMode)
      return refused("entry-mode", "mode 0644", octal(mode));
    bool is_owned = ::archive_entry_uid(entry) != 0 || ::archive_entry_gid(entry) != 0 ||
                    !text_or_nothing(::archive_entry_uname(entry)).empty() ||
                    !text_or_nothing(::archive_entry_gname(entry)).empty();
    if (is_owned) return refused("entry-owner", "owner and group 0", "another");
    if (::archive_entry_mtime(entry) != kEntryTime)
      return refused("entry-time", "the time " + std::to_string(kEntryTime),
                     std::to_string(::archive_entry_mtime(entry)));
    if (::archive_entry_sparse_count(entry) != 0 || ::archive_entry_xattr_count(entry) != 0)
      return refused("entry-sparse", "a file without holes and attributes", "one with them");
    // Headers that libarchive took in silence would stand between the entries.
    if (auto place = ::archive_read_header_position(reader_); place != static_cast<la_int64_t>(next_header_))
      return refused("archive-size", "its header at byte " + std::to_string(next_header_),
                     std::to_string(place));
    return {};
  }

  Status pass_on(archive_entry* entry) {
    auto size = static_cast<std::uint64_t>(::archive_entry_size(entry));
    if (auto taken = sink_.begin(text_or_nothing(::archive_entry_pathname(entry)), size); !taken)
      return taken;
    std::uint64_t passed = 0;
    for (;;) {
      const void* bytes = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      int code = ::archive_read_data_block(reader_, &bytes, &count, &offset);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK) return complaint();
      if (offset != static_cast<la_int64_t>(passed) || count > size - passed)
        return refused("entry-size", std::to_string(size) + " bytes without holes", "others");
      passed += count;
      if (auto taken = sink_.data({static_cast<const std::byte*>(bytes), count}); !taken) return taken;
    }
    if (passed != size) return refused("entry-size", std::to_string(size) + " bytes", std::to_string(passed));
    next_header_ += entry_bytes(size);
    return {};
  }

  archive* reader_;
  Wrapping wrapping_;
  const std::string& where_;
  EntrySink& sink_;
  std::string entry_;
  std::uint64_t next_header_ = 0;
};

}  // namespace

Status walk_archive(const Input& input, Wrapping wrapping, const std::string& where, EntrySink& sink) {
  Reader reader(::archive_read_new());
  if (!reader) return fail(Errc::io, "no memory to read `" + where + "`");
  if (wrapping == Wrapping::zstd) ::archive_read_support_filter_zstd(reader.get());
  ::archive_read_support_format_tar(reader.get());
  Feed source{.input = input};
  Status done;
  if (::archive_read_open(reader.get(), &source, nullptr, feed, nullptr) != ARCHIVE_OK)
    done = refuse(
        {.rule = "archive-form", .where = where, .expected = "a tar archive", .found = "something else"});
  else
    done = Walk(reader.get(), wrapping, where, sink).run();
  if (source.failure) return fail(std::move(*source.failure));
  return done;
}

}  // namespace kernels::bundle
