#include "variant_content.h"

#include <algorithm>
#include <utility>

#include "kernels/base/log.h"
#include "kernels/cache/snapshot.h"
#include "kernels/hub/url.h"
#include "kernels/ops/resolver.h"

#include "listing.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMaxText = ByteSource::kMaxView;

class FolderContent final : public VariantContent {
 public:
  explicit FolderContent(fs::path folder) : folder_(std::move(folder)) {}

  Status list() {
    std::error_code code;
    fs::recursive_directory_iterator it(folder_, code);
    for (const fs::recursive_directory_iterator end; !code && it != end; it.increment(code))
      take(*it);
    if (code) return fail(system_error("list", folder_.string(), code.value()));
    std::ranges::sort(files_, {}, &ContentFile::path);
    std::ranges::sort(strange_);
    return {};
  }

  Result<std::unique_ptr<ByteSource>> open(const std::string& path) override {
    return open_file_source(folder_ / path);
  }

 private:
  void take(const fs::directory_entry& entry) {
    auto name = entry.path().lexically_relative(folder_).generic_string();
    auto path = RepoPath::parse(name);
    if (path && path->is_bytecode()) return;
    std::error_code ignored;
    bool is_folder = entry.is_directory(ignored) && !entry.is_symlink(ignored);
    bool is_file = path && entry.is_regular_file(ignored);
    if (is_file) {
      auto size = entry.file_size(ignored);
      files_.push_back({.path = name, .size = ignored ? 0 : size});
    } else if (!is_folder || !path) {
      strange_.push_back(std::move(name));
    }
  }

  fs::path folder_;
};

class PlacedContent final : public VariantContent {
 public:
  explicit PlacedContent(std::map<std::string, PlacedFile> files) : places_(std::move(files)) {
    for (const auto& [path, file] : places_)
      files_.push_back({.path = path, .size = file.size});
    std::ranges::sort(files_, {}, &ContentFile::path);
  }

  Result<std::unique_ptr<ByteSource>> open(const std::string& path) override {
    auto found = places_.find(path);
    if (found == places_.end())
      return fail(Errc::not_found, "there is no file `" + path + "` in the variant");
    return open_file_source(found->second.place);
  }

 private:
  std::map<std::string, PlacedFile> places_;
};

class SingleFile final : public VariantContent {
 public:
  SingleFile(fs::path file, std::uint64_t size) : file_(std::move(file)) {
    files_.push_back({.path = file_.filename().string(), .size = size});
  }
  Result<std::unique_ptr<ByteSource>> open(const std::string& /*path*/) override {
    return open_file_source(file_);
  }

 private:
  fs::path file_;
};

class HubContent final : public VariantContent {
 public:
  HubContent(HubSession& session, RepoId repo, Commit commit, const std::vector<FileEntry>& files,
             const std::string& variant)
      : session_(session), repo_(std::move(repo)), commit_(std::move(commit)) {
    auto prefix = "build/" + variant + "/";
    for (const auto& file : files) {
      if (!file.path.str().starts_with(prefix) || file.path.is_bytecode()) continue;
      auto path = file.path.str().substr(prefix.size());
      files_.push_back({.path = path, .size = file.size});
      entries_.emplace(path, file);
    }
    std::ranges::sort(files_, {}, &ContentFile::path);
  }

  Result<std::unique_ptr<ByteSource>> open(const std::string& path) override {
    auto found = entries_.find(path);
    if (found == entries_.end())
      return fail(Errc::not_found, "there is no file `" + path + "` in the variant");
    return hub::make_range_source(
        *session_.client, session_.api,
        hub::resolve_url(session_.endpoint, repo_, commit_.str(), found->second.path), found->second.size,
        session_.stop, session_.counters);
  }

  void announce(const std::vector<std::string>& paths) override {
    auto fetched = fetch(paths);
    if (!fetched) log(LogLevel::debug, describe(fetched.error()));
  }

  Status fetch(const std::vector<std::string>& paths) {
    for (const auto& path : paths) {
      auto found = entries_.find(path);
      if (found == entries_.end() || found->second.size > kMaxText || texts_.contains(path)) continue;
      texts_.emplace(path, fail(Errc::network, "no answer"));
      ++session_.counters.requests;
      session_.api.file(repo_, commit_.str(), found->second.path, [this, path](Result<std::string> text) {
        if (text) session_.counters.bytes += text->size();
        texts_.insert_or_assign(path, std::move(text));
      });
    }
    return session_.client->run(session_.stop);
  }

  Result<std::string> text(const std::string& path) override {
    if (auto ready = fetch({path}); !ready) return std::unexpected(std::move(ready).error());
    auto found = texts_.find(path);
    if (found == texts_.end()) return VariantContent::text(path);
    if (!found->second) return found->second;
    if (auto good = check_content(entries_.at(path), *found->second); !good)
      return std::unexpected(std::move(good).error());
    return found->second;
  }

 private:
  HubSession& session_;
  RepoId repo_;
  Commit commit_;
  std::map<std::string, FileEntry> entries_;
  std::map<std::string, Result<std::string>> texts_;
};

}  // namespace

const ContentFile* VariantContent::find(std::string_view path) const {
  auto found = std::ranges::lower_bound(files_, path, {}, &ContentFile::path);
  return found != files_.end() && found->path == path ? &*found : nullptr;
}

void VariantContent::announce(const std::vector<std::string>& /*paths*/) {}

Result<std::string> VariantContent::text(const std::string& path) {
  auto source = open(path);
  if (!source) return std::unexpected(std::move(source).error());
  if ((*source)->size() > kMaxText)
    return fail(Errc::unsupported, "`" + path + "` is longer than " + std::to_string(kMaxText) + " bytes");
  auto bytes = (*source)->view(0, (*source)->size());
  if (!bytes) return std::unexpected(std::move(bytes).error());
  auto raw = bytes->bytes();
  return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
}

Result<std::unique_ptr<VariantContent>> folder_content(const fs::path& folder) {
  auto content = std::make_unique<FolderContent>(folder);
  if (auto listed = content->list(); !listed) return std::unexpected(std::move(listed).error());
  return content;
}

std::unique_ptr<VariantContent> blob_content(const cache::Layout& layout, const RepoId& repo,
                                             const LockedVariant& variant) {
  std::map<std::string, PlacedFile> files;
  auto prefix = "build/" + variant.name + "/";
  for (const auto& file : variant.files)
    if (file.path.str().starts_with(prefix))
      files.emplace(file.path.str().substr(prefix.size()),
                    PlacedFile{.place = layout.blob(repo, file.blob), .size = file.size});
  return placed_content(std::move(files));
}

std::unique_ptr<VariantContent> placed_content(std::map<std::string, PlacedFile> files) {
  return std::make_unique<PlacedContent>(std::move(files));
}

Result<std::unique_ptr<VariantContent>> file_content(const fs::path& file) {
  auto source = open_file_source(file);
  if (!source) return std::unexpected(std::move(source).error());
  return std::make_unique<SingleFile>(file, (*source)->size());
}

HubSession::HubSession(const hub::Settings& settings, const std::string& user_agent,
                       std::stop_token stop_token)
    : endpoint(settings.endpoint),
      client(hub::make_http_client(http_options(settings, user_agent))),
      api(*client, settings.endpoint, settings.max_retries),
      stop(std::move(stop_token)) {}

std::unique_ptr<VariantContent> hub_content(HubSession& session, const RepoId& repo, const Commit& commit,
                                            const std::vector<FileEntry>& files, const std::string& variant) {
  return std::make_unique<HubContent>(session, repo, commit, files, variant);
}

bool is_cached(const cache::Layout& layout, const RepoId& repo, const Commit& commit,
               const std::vector<FileEntry>& files, const std::string& variant) {
  auto prefix = "build/" + variant + "/";
  return std::ranges::all_of(files, [&](const FileEntry& file) {
    return !file.path.str().starts_with(prefix) || file.path.is_bytecode() ||
           cache::has_snapshot_entry(layout, repo, commit, file);
  });
}

std::string variant_folder_name(const fs::path& folder) {
  std::error_code code;
  if (fs::is_directory(folder / "build", code)) return {};
  bool is_one = fs::exists(folder / "metadata.json", code) || fs::exists(folder / "__init__.py", code);
  for (fs::directory_iterator it(folder, code), end; !is_one && !code && it != end; it.increment(code))
    is_one = it->path().extension() == ".so";
  if (!is_one) return {};
  auto absolute = fs::weakly_canonical(folder, code);
  return (code ? folder : absolute).filename().string();
}

}  // namespace kernels::ops
