#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

namespace {

Status changed_meanwhile(const std::string& name) {
  return fail(Error(Errc::io, "`" + name + "` changed while it was being imported")
                  .with_hint("import again when nothing writes to the folder"));
}

/// Whether the blob in the cache really is the content that its name states. A damaged one is replaced.
bool blob_is_intact(const fs::path& blob, const FileEntry& entry) {
  auto fd = open_source(blob);
  if (!fd) return false;
  auto hasher = entry.blob.hasher(entry.size);
  auto read = for_each_piece(fd->get(), entry.size, blob.string(), [&](auto piece, std::uint64_t) {
    hasher.update(piece);
    return Status{};
  });
  return read && hasher.finish_hex() == entry.blob.str();
}

Status make_link(const fs::path& place, const fs::path& target) {
  std::error_code code;
  if (fs::is_symlink(fs::symlink_status(place, code)) && fs::read_symlink(place, code) == target) return {};
  fs::path temporary = place;
  temporary += "." + random_suffix() + ".tmp";
  if (::symlink(target.c_str(), temporary.c_str()) != 0)
    return fail(system_error("make the link", place.string(), errno));
  Unfinished cleanup(temporary);
  auto renamed = rename_path(temporary, place);
  if (renamed) cleanup.keep();
  return renamed;
}

Status make_links(const fs::path& snapshot, const std::vector<HashedFile>& files,
                  bool (*wanted)(const RepoPath&)) {
  for (const auto& file : files) {
    if (!wanted(file.entry.path)) continue;
    auto place = snapshot / file.entry.path.str();
    if (auto made = make_folders(place.parent_path()); !made) return made;
    if (auto made = make_link(place, link_target(file.entry.path, file.entry.blob)); !made) return made;
  }
  return {};
}

/// A reader takes a variant with an `__init__.py` for a complete one.
Status fill(const fs::path& snapshot, const std::vector<HashedFile>& files) {
  auto others = [](const RepoPath& path) { return path.filename() != "__init__.py"; };
  auto entry_points = [](const RepoPath& path) { return path.filename() == "__init__.py"; };
  if (auto made = make_links(snapshot, files, others); !made) return made;
  return make_links(snapshot, files, entry_points);
}

}  // namespace

Result<UniqueFd> open_source(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(system_error("open", path.string(), errno));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail(system_error("examine", path.string(), errno));
  if (!S_ISREG(info.st_mode)) return fail(Errc::integrity, "`" + path.string() + "` is not a regular file");
  return fd;
}

Status for_each_piece(int fd, std::uint64_t size, const std::string& name,
                      const std::function<Status(std::span<const std::byte>, std::uint64_t)>& take) {
  std::vector<std::byte> buffer(1 << 20);
  for (std::uint64_t offset = 0;;) {
    auto got = read_at(fd, buffer, offset, name);
    if (!got) return fail(std::move(got).error());
    if (offset + *got > size || (*got == 0 && offset != size)) return changed_meanwhile(name);
    if (*got == 0) return {};
    if (auto taken = take(std::span<const std::byte>(buffer.data(), *got), offset); !taken) return taken;
    offset += *got;
  }
}

Result<bool> publish_blob(const Layout& layout, const RepoId& repo, const HashedFile& file, Durable durable) {
  auto blob = layout.blob(repo, file.entry.blob);
  if (blob_is_intact(blob, file.entry)) return false;
  auto source = open_source(file.source);
  if (!source) return fail(std::move(source).error());
  fs::path temporary = blob;
  temporary += "." + random_suffix() + ".incomplete";
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) return fail(system_error("write", temporary.string(), errno));
  Unfinished cleanup(temporary);
  auto hasher = file.entry.blob.hasher(file.entry.size);
  auto copied = for_each_piece(source->get(), file.entry.size, file.source.string(),
                               [&](std::span<const std::byte> piece, std::uint64_t offset) {
                                 hasher.update(piece);
                                 return write_at(fd.get(), piece, offset, temporary.string());
                               });
  if (!copied) return fail(std::move(copied).error());
  if (hasher.finish_hex() != file.entry.blob.str())
    return fail(changed_meanwhile(file.source.string()).error());
  if (durable == Durable::yes && ::fsync(fd.get()) != 0)
    return fail(system_error("flush", temporary.string(), errno));
  if (auto renamed = rename_path(temporary, blob); !renamed) return fail(std::move(renamed).error());
  cleanup.keep();
  return true;
}

Status publish_snapshot(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const std::vector<HashedFile>& files, Durable durable) {
  auto final_place = layout.snapshot(repo, commit);
  std::error_code ignored;
  if (!fs::exists(final_place, ignored)) {
    auto temporary = final_place.parent_path() / ("tmp-" + random_suffix());
    Unfinished cleanup(temporary);
    if (auto made = make_folders(temporary); !made) return made;
    if (auto filled = fill(temporary, files); !filled) return filled;
    if (auto renamed = rename_path(temporary, final_place)) cleanup.keep();
  }
  // There already, or another process was faster: the same content, perhaps not yet all of it.
  if (auto filled = fill(final_place, files); !filled) return filled;
  return durable == Durable::yes ? sync_folder(final_place.parent_path()) : Status{};
}

}  // namespace kernels::cache
