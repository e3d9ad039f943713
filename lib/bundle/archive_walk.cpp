#include "archive_walk.h"

#include <cerrno>
#include <memory>
#include <optional>

#include <archive.h>
#include <archive_entry.h>

#include "kernels/bundle/rules.h"

#include "tar_gate.h"

namespace kernels::bundle {

namespace {

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

/// The archive's bytes on their way through the gate.
struct Feed {
  const Input& input;
  TarGate gate;
  std::optional<Error> failure = std::nullopt;

  std::optional<std::span<const std::byte>> next() {
    auto bytes = input();
    if (!bytes) {
      failure = std::move(bytes).error();
      return std::nullopt;
    }
    auto passed = gate.take(*bytes);
    if (passed) return *bytes;
    failure = std::move(passed).error();
    return std::nullopt;
  }
};

la_ssize_t feed(archive* reader, void* context, const void** bytes) {
  auto next = static_cast<Feed*>(context)->next();
  if (!next) {
    ::archive_set_error(reader, EIO, "refused");
    return -1;
  }
  *bytes = next->data();
  return static_cast<la_ssize_t>(next->size());
}

std::string text_or_nothing(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

Status walk_entries(archive* reader, const std::string& where, EntrySink& sink) {
  auto complaint = [&] {
    return refuse(
        {.rule = "archive-form",
         .where = where,
         .expected = "a tar archive",
         .found = "one that libarchive calls " + in_ticks(text_or_nothing(::archive_error_string(reader)))});
  };
  for (archive_entry* entry = nullptr;;) {
    int code = ::archive_read_next_header(reader, &entry);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK) return complaint();
    auto name = text_or_nothing(::archive_entry_pathname(entry));
    bool is_plain = ::archive_format(reader) == ARCHIVE_FORMAT_TAR_USTAR &&
                    ::archive_entry_filetype(entry) == AE_IFREG && ::archive_entry_hardlink(entry) == nullptr;
    if (!is_plain)
      return refuse({.rule = "entry-type",
                     .where = where + ": " + in_ticks(name),
                     .expected = "a regular file",
                     .found = "what libarchive takes for something else"});
    auto size = static_cast<std::uint64_t>(::archive_entry_size(entry));
    if (auto taken = sink.begin(name, size); !taken) return taken;
    for (;;) {
      const void* bytes = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      code = ::archive_read_data_block(reader, &bytes, &count, &offset);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK) return complaint();
      if (auto taken = sink.data({static_cast<const std::byte*>(bytes), count}); !taken) return taken;
    }
  }
}

}  // namespace

Status walk_archive(const Input& input, const std::string& where, EntrySink& sink) {
  Reader reader(::archive_read_new());
  if (!reader) return fail(Errc::io, "no memory to read " + where);
  ::archive_read_support_format_tar(reader.get());
  Feed source{.input = input, .gate = TarGate(where)};
  auto done = ::archive_read_open(reader.get(), &source, nullptr, feed, nullptr) == ARCHIVE_OK
                  ? walk_entries(reader.get(), where, sink)
                  : refuse({.rule = "archive-form",
                            .where = where,
                            .expected = "a tar archive",
                            .found = "something else"});
  // What libarchive leaves behind the end must pass too: nothing may be there.
  while (done && !source.failure) {
    auto rest = source.next();
    if (rest && rest->empty()) break;
  }
  if (source.failure) return fail(std::move(*source.failure));
  return done ? source.gate.finish() : done;
}

}  // namespace kernels::bundle
