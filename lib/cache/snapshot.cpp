#include "kernels/cache/snapshot.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/file.h"

namespace kernels::cache {

namespace fs = std::filesystem;

static constexpr std::string_view kBuilding = "tmp-";

/// Text, not a path: every file of every kernel comes by here, also when there is nothing to do.
static bool is_entry(const std::string& place, const FileEntry& file) {
  std::array<char, 4096> target;
  auto length = ::readlink(place.c_str(), target.data(), target.size());
  if (length >= 0)
    return std::string_view(target.data(), static_cast<std::size_t>(length)) ==
           link_target(file.path, file.blob);
  auto stamp = file_stamp(place.c_str());
  return stamp && stamp->size == file.size;
}

bool has_snapshot_entry(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const FileEntry& file) {
  return is_entry(layout.snapshot(repo, commit).string() + "/" + file.path.str(), file);
}

bool has_snapshot_entries(const Layout& layout, const RepoId& repo, const Commit& commit,
                          const std::vector<FileEntry>& files) {
  auto snapshot = layout.snapshot(repo, commit).string() + "/";
  return std::ranges::all_of(
      files, [&](const FileEntry& file) { return is_entry(snapshot + file.path.str(), file); });
}

static Status copy_blob(const fs::path& blob, const fs::path& to) {
  std::error_code code;
  fs::copy_file(blob, to, fs::copy_options::overwrite_existing, code);
  if (code) return fail(system_error("copy to", to.string(), code.value()));
  return {};
}

/// Puts one entry at `place`, replacing what is there without a moment in which nothing is.
static Status place_entry(const Layout& layout, const RepoId& repo, const FileEntry& file,
                          const fs::path& place, Links links) {
  auto temporary = place;
  temporary += "." + random_suffix() + ".tmp";
  if (links == Links::symlinks) {
    // It was there when the download was planned; somebody may have removed it since.
    if (!plain_file_stamp(layout.blob(repo, file.blob).c_str()))
      return fail(Error(Errc::io, "`" + layout.blob(repo, file.blob).string() + "` is gone")
                      .with_hint("another process removes files from the cache; run the command again"));
    if (::symlink(link_target(file.path, file.blob).c_str(), temporary.c_str()) != 0)
      return fail(system_error("make the link", place.string(), errno));
  } else if (auto copied = copy_blob(layout.blob(repo, file.blob), temporary); !copied) {
    return copied;
  }
  auto renamed = rename_path(temporary, place);
  if (!renamed) ::unlink(temporary.c_str());
  return renamed;
}

/// The order in which entries of one folder appear: what makes it importable comes last.
static std::vector<const FileEntry*> init_last(const std::vector<const FileEntry*>& files) {
  auto sorted = files;
  std::ranges::stable_partition(sorted,
                                [](const FileEntry* file) { return file->path.filename() != "__init__.py"; });
  return sorted;
}

static Status fill_folder(const Layout& layout, const RepoId& repo, const Commit& commit,
                          const std::vector<const FileEntry*>& files, Links links) {
  auto snapshot = layout.snapshot(repo, commit).string() + "/";
  std::set<std::string> inside;  // folders that were looked at
  for (const auto* file : init_last(files)) {
    auto name = snapshot + file->path.str();
    fs::path place(name);
    if (auto parent = place.parent_path(); inside.insert(parent.string()).second)
      if (auto checked = check_no_links(layout, repo, parent); !checked) return checked;
    if (is_entry(name, *file)) continue;
    if (auto made = make_folders(place.parent_path()); !made) return made;
    if (auto placed = place_entry(layout, repo, *file, place, links); !placed) return placed;
  }
  return {};
}

/// Builds a folder beside the snapshots and renames it into place.
static Status create_folder(const Layout& layout, const RepoId& repo, const fs::path& final_folder,
                            const std::string& prefix, const std::vector<const FileEntry*>& files,
                            Links links) {
  auto building = layout.repository(repo) / (std::string(kBuilding) + random_suffix());
  Status status;
  for (const auto* file : files) {
    auto place = building / file->path.str().substr(prefix.size());
    status = make_folders(place.parent_path());
    if (status) status = place_entry(layout, repo, *file, place, links);
    if (!status) break;
  }
  if (status) status = make_folders(final_folder.parent_path());
  if (status) status = rename_path(building, final_folder);
  std::error_code ignored;
  if (!status) fs::remove_all(building, ignored);
  return status;
}

/// `build/<variant>/` for files inside a variant, the empty text for all others.
static std::string folder_of(const RepoPath& path) {
  if (!path.str().starts_with("build/")) return {};
  auto slash = path.str().find('/', 6);
  return slash == std::string::npos ? std::string() : path.str().substr(0, slash + 1);
}

/// Whether nothing can be renamed from the repository's folder into that of its snapshots.
static bool is_elsewhere(const Layout& layout, const RepoId& repo) {
  struct stat here{};
  struct stat there{};
  return ::stat(layout.repository(repo).c_str(), &here) == 0 &&
         ::stat((layout.repository(repo) / "snapshots").c_str(), &there) == 0 && here.st_dev != there.st_dev;
}

Status publish_snapshot(const Layout& layout, const RepoId& repo, const Commit& commit,
                        const std::vector<FileEntry>& files, Links links) {
  std::map<std::string, std::vector<const FileEntry*>> folders;
  for (const auto& file : files)
    folders[folder_of(file.path)].push_back(&file);
  for (const auto& [prefix, entries] : folders) {
    auto final_folder = layout.snapshot(repo, commit) / prefix;
    std::error_code code;
    if (auto inside = check_no_links(layout, repo, final_folder.parent_path()); !inside) return inside;
    if (!prefix.empty() && !fs::exists(final_folder, code)) {
      auto created =
          create_folder(layout, repo, layout.snapshot(repo, commit) / prefix.substr(0, prefix.size() - 1),
                        prefix, entries, links);
      if (created) continue;
      // Another process was faster, or `snapshots` is on another device: fill in place what it lacks.
      if (!fs::exists(final_folder, code) && !is_elsewhere(layout, repo)) return created;
    }
    if (auto filled = fill_folder(layout, repo, commit, entries, links); !filled) return filled;
  }
  return {};
}

void sweep_leftovers(const Layout& layout, const RepoId& repo) {
  auto limit = fs::file_time_type::clock::now() - std::chrono::hours(1);
  std::error_code code;
  std::vector<fs::path> old;
  for (fs::directory_iterator it(layout.repository(repo), code), end; !code && it != end;
       it.increment(code)) {
    std::error_code ignored;
    bool is_ours = it->path().filename().string().starts_with(kBuilding) && it->is_directory(ignored);
    if (is_ours && it->last_write_time(ignored) < limit) old.push_back(it->path());
  }
  for (const auto& folder : old)
    fs::remove_all(folder, code);
}

Status publish_ref(const Layout& layout, const RepoId& repo, std::string_view revision,
                   const Commit& commit) {
  if (Commit::parse(revision) || read_ref(layout, repo, revision) == commit) return {};
  auto inside = check_no_links(layout, repo, layout.ref(repo, revision).parent_path());
  if (!inside) return inside;
  return write_file(layout.ref(repo, revision), commit.str(), Durable::no);
}

}  // namespace kernels::cache
