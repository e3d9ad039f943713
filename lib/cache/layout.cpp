#include "kernels/cache/layout.h"

#include <algorithm>
#include <array>

#include "kernels/base/file.h"

namespace kernels::cache {

namespace fs = std::filesystem;

std::string link_target(const RepoPath& path, const BlobId& id) {
  std::string out;
  for (std::size_t i = 0; i < path.depth() + 2; ++i)
    out += "../";
  return out + "blobs/" + id.str();
}

Status check_no_links(const Layout& layout, const RepoId& repo, const fs::path& folder) {
  auto at = layout.repository(repo);
  for (const auto& segment : folder.lexically_relative(at)) {
    at /= segment;
    std::error_code code;
    if (fs::is_symlink(at, code))
      return fail(Error(Errc::integrity, "`" + at.string() + "` is a link, where the cache has a folder")
                      .with_hint("remove the link; `kernels cache verify` shows what else is wrong"));
  }
  return {};
}

/// `kernels--org--name` back to `org/name`; nothing for a folder of another kind.
static std::optional<RepoId> from_folder(std::string_view folder) {
  constexpr std::string_view kPrefix = "kernels--";
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  std::string text(folder.substr(kPrefix.size()));
  auto separator = text.find("--");
  if (separator != std::string::npos) text.replace(separator, 2, "/");
  auto repo = RepoId::parse(text);
  if (!repo || repo->folder() != folder) return std::nullopt;
  return *repo;
}

Result<std::vector<RepoId>> list_repositories(const Layout& layout) {
  std::error_code code;
  fs::directory_iterator entries(layout.root(), code);
  if (code) return fail(Errc::not_found, "there is no cache folder `" + layout.root().string() + "`");
  std::vector<RepoId> out;
  for (const auto& entry : entries)
    if (auto repo = from_folder(entry.path().filename().string()); repo && entry.is_directory(code))
      out.push_back(*repo);
  std::ranges::sort(out);
  return out;
}

static std::optional<Commit> commit_in(const fs::path& file) {
  auto text = read_file(file, 1024);
  if (!text) return std::nullopt;
  // Older writers left a newline behind; the readers of refs disagree about it, so it is only ever dropped.
  auto end = text->find_last_not_of(" \t\r\n");
  auto commit = Commit::parse(std::string_view(*text).substr(0, end == std::string::npos ? 0 : end + 1));
  if (!commit) return std::nullopt;
  return *commit;
}

std::vector<Ref> list_refs(const Layout& layout, const RepoId& repo) {
  std::vector<Ref> out;
  auto folder = layout.repository(repo) / "refs";
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    if (auto commit = commit_in(it->path()))
      out.push_back({.name = it->path().lexically_relative(folder).generic_string(), .commit = *commit});
  }
  std::ranges::sort(out, {}, &Ref::name);
  return out;
}

std::optional<Commit> read_ref(const Layout& layout, const RepoId& repo, std::string_view revision) {
  if (!parse_revision(revision)) return std::nullopt;
  return commit_in(layout.ref(repo, revision));
}

std::vector<Commit> list_snapshots(const Layout& layout, const RepoId& repo) {
  std::vector<Commit> out;
  std::error_code code;
  for (fs::directory_iterator it(layout.repository(repo) / "snapshots", code), end; !code && it != end;
       it.increment(code))
    if (auto commit = Commit::parse(it->path().filename().string())) out.push_back(*commit);
  std::ranges::sort(out);
  return out;
}

static Result<BlobId> hash_plain_file(const fs::path& file, std::uint64_t size) {
  auto content = read_file(file, size);
  if (!content) return fail(std::move(content).error());
  auto hasher = Hasher::git_blob(size);
  hasher.update(*content);
  return BlobId::of_git_sha1(hasher.finish_hex());
}

/// The blob that a snapshot entry stands for; nothing for an entry that is neither a link into the
/// repository's own blobs nor a regular file.
static Result<std::optional<FileEntry>> snapshot_file(const fs::path& file, const RepoPath& path) {
  std::error_code code;
  auto stamp = file_stamp(file);
  if (!stamp) return std::nullopt;
  if (!fs::is_symlink(file, code)) {
    auto blob = hash_plain_file(file, stamp->size);
    if (!blob) return fail(std::move(blob).error());
    return FileEntry{.path = path, .size = stamp->size, .blob = *blob};
  }
  auto target = fs::read_symlink(file, code);
  auto blob = BlobId::parse(target.filename().string());
  if (code || !blob || target != link_target(path, *blob)) return std::nullopt;
  return FileEntry{.path = path, .size = stamp->size, .blob = *blob};
}

Result<std::vector<FileEntry>> list_snapshot_files(const Layout& layout, const RepoId& repo,
                                                   const Commit& commit) {
  auto folder = layout.snapshot(repo, commit);
  std::error_code code;
  fs::recursive_directory_iterator it(folder, code);
  if (code)
    return fail(Errc::not_found, "the cache has no snapshot of `" + repo.str() + "` at " + commit.str());
  std::vector<FileEntry> out;
  for (const fs::recursive_directory_iterator end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored)) continue;
    auto path = RepoPath::parse(it->path().lexically_relative(folder).generic_string());
    if (!path || path->is_bytecode()) continue;
    auto file = snapshot_file(it->path(), *path);
    if (!file) return fail(std::move(file).error());
    if (*file) out.push_back(std::move(**file));
  }
  if (code) return fail(system_error("list", folder.string(), code.value()));
  std::ranges::sort(out);
  return out;
}

}  // namespace kernels::cache
