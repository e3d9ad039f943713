#include "kernels/cache/import.h"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "kernels/model/git_objects.h"
#include "kernels/model/version.h"

#include "import_impl.h"

namespace kernels::cache {

namespace fs = std::filesystem;

namespace {

Result<HashedFile> hash_source(const SourceFile& file) {
  auto fd = open_source(file.source);
  if (!fd) return fail(std::move(fd).error());
  auto stamp = file_stamp(fd->get());
  auto size = stamp ? stamp->size : 0;
  if (size > kMaxFileSize)
    return fail(Errc::unsupported, "`" + file.source.string() + "` is larger than the Hub accepts");
  std::string head(kTextProbe, '\0');
  auto got = read_at(fd->get(), std::as_writable_bytes(std::span<char>(head)), 0, file.source.string());
  if (!got) return fail(std::move(got).error());
  head.resize(*got);
  auto storage = storage_for(file.path, size, head);
  auto hasher = storage == Storage::lfs ? Hasher(HashAlgorithm::sha256) : Hasher::git_blob(size);
  auto read = for_each_piece(fd->get(), size, file.source.string(), [&](auto piece, std::uint64_t) {
    hasher.update(piece);
    return Status{};
  });
  if (!read) return fail(std::move(read).error());
  auto hex = hasher.finish_hex();
  auto blob = storage == Storage::lfs ? BlobId::of_sha256(hex) : BlobId::of_git_sha1(hex);
  return HashedFile{.source = file.source, .entry = {.path = file.path, .size = size, .blob = blob}};
}

Result<std::vector<HashedFile>> hash_all(const std::vector<SourceFile>& files) {
  std::vector<HashedFile> out;
  for (const auto& file : files) {
    auto hashed = hash_source(file);
    if (!hashed) return fail(std::move(hashed).error());
    out.push_back(std::move(*hashed));
  }
  return out;
}

/// The `version` of a variant's metadata.json. Nothing if it states none.
Result<std::optional<std::uint64_t>> stated_version(const fs::path& metadata) {
  auto text = read_file(metadata, 16U << 20U);
  if (!text) return fail(std::move(text).error());
  auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return fail(Errc::corrupt, "`" + metadata.string() + "` does not hold a JSON object");
  auto version = json.find("version");
  if (version == json.end() || !version->is_number_unsigned()) return std::nullopt;
  return version->get<std::uint64_t>();
}

std::unexpected<Error> no_version(const std::string& why) {
  return fail(Error(Errc::invalid_argument, why).with_hint("say which one it is with `--version N`"));
}

Result<std::uint64_t> version_of(const SourceFiles& source) {
  std::map<std::uint64_t, std::string> found;
  for (const auto& file : source.files) {
    if (file.path.filename() != "metadata.json" || file.path.depth() != 2 ||
        !file.path.str().starts_with("build/"))
      continue;
    auto version = stated_version(file.source);
    if (!version) return fail(std::move(version).error().while_doing("looking for the kernel's version"));
    if (*version) found.emplace(**version, file.path.str());
  }
  if (found.empty()) return no_version("no metadata.json states a version");
  if (found.size() > 1)
    return no_version("`" + found.begin()->second + "` states version " +
                      std::to_string(found.begin()->first) + ", `" + found.rbegin()->second +
                      "` states version " + std::to_string(found.rbegin()->first));
  return found.begin()->first;
}

bool is_highest_version(const Layout& layout, const RepoId& repo, std::uint64_t version) {
  return std::ranges::none_of(list_refs(layout, repo), [&](const Ref& ref) {
    auto other = version_branch_number(ref.name);
    return other && *other > version;
  });
}

/// The refs to move, `main` last.
Result<std::vector<std::string>> refs_to_write(const Layout& layout, const ImportRequest& request,
                                               const SourceFiles& source) {
  if (request.version && request.revision)
    return fail(Errc::invalid_argument, "a version and a revision were given; only one can be meant");
  if (request.revision) {
    auto name = parse_revision(*request.revision);
    if (!name) return fail(std::move(name).error());
    if (Commit::parse(*name))
      return fail(Error(Errc::invalid_argument, "`" + *name + "` is a commit, which follows from the content")
                      .with_hint("name a branch, or a version"));
    return std::vector<std::string>{*name};
  }
  auto version = request.version ? Result<std::uint64_t>(*request.version) : version_of(source);
  if (!version) return fail(std::move(version).error());
  std::vector<std::string> refs = {"v" + std::to_string(*version)};
  if (is_highest_version(layout, request.repo, *version)) refs.emplace_back("main");
  return refs;
}

Status publish_refs(const Layout& layout, const ImportReport& report, Durable durable) {
  for (const auto& name : report.refs)
    if (auto written = write_file(layout.ref(report.repo, name), report.commit.str(), durable); !written)
      return written;
  return {};
}

Status publish(const Layout& layout, const std::vector<HashedFile>& files, Durable durable,
               ImportReport& report) {
  if (auto made = make_folders(layout.blobs(report.repo)); !made) return made;
  for (const auto& file : files) {
    auto written = publish_blob(layout, report.repo, file, durable);
    if (!written) return fail(std::move(written).error());
    report.written_files += *written ? 1 : 0;
    report.written_bytes += *written ? file.entry.size : 0;
  }
  if (durable == Durable::yes)
    if (auto flushed = sync_folder(layout.blobs(report.repo)); !flushed) return flushed;
  if (auto linked = publish_snapshot(layout, report.repo, report.commit, files, durable); !linked)
    return linked;
  return publish_refs(layout, report, durable);
}

}  // namespace

Result<ImportReport> import_folder(const Layout& layout, const ImportRequest& request) {
  auto step = "importing `" + request.folder.string() + "` as `" + request.repo.str() + "`";
  auto source = scan_source(request.folder);
  if (!source) return fail(std::move(source).error().while_doing(step));
  auto refs = refs_to_write(layout, request, *source);
  if (!refs) return fail(std::move(refs).error().while_doing(step));
  auto files = hash_all(source->files);
  if (!files) return fail(std::move(files).error().while_doing(step));
  std::vector<FileEntry> entries;
  for (const auto& file : *files)
    entries.push_back(file.entry);
  auto trees = git_trees(entries);
  if (!trees) return fail(std::move(trees).error().while_doing(step));

  ImportReport report{.repo = request.repo,
                      .commit = git_commit(trees->at(""), "Import"),
                      .refs = std::move(*refs),
                      .variants = std::move(source->variants),
                      .skipped = std::move(source->skipped),
                      .files = entries.size()};
  for (const auto& entry : entries)
    report.bytes += entry.size;
  if (auto published = publish(layout, *files, request.durable, report); !published)
    return fail(std::move(published).error().while_doing(step));
  return report;
}

}  // namespace kernels::cache
