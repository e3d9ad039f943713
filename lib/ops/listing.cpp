#include "listing.h"

#include <algorithm>
#include <set>

#include "kernels/base/file.h"
#include "kernels/base/log.h"
#include "kernels/ops/resolver.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMostMetadata = 8 << 20;

std::vector<Named> version_branches(const std::vector<std::string>& branches) {
  std::vector<Named> out;
  for (const auto& branch : branches)
    if (auto number = version_branch_number(branch))
      out.push_back({.version = number, .name = branch, .revision = "refs/heads/" + branch});
  std::ranges::sort(out, {}, &Named::version);
  return out;
}

Result<std::vector<Named>> choose_asked(const RepoId& repo, const RevisionChoice& choice,
                                        const std::vector<Named>& versions) {
  using Kind = RevisionChoice::Kind;
  if (choice.kind == Kind::revision)
    return std::vector<Named>{
        {.version = std::nullopt, .name = choice.revision, .revision = choice.revision}};
  if (choice.kind == Kind::version) {
    auto found = std::ranges::find(versions, std::optional(choice.version), &Named::version);
    if (found != versions.end()) return std::vector<Named>{*found};
    std::string all;
    for (const auto& version : versions)
      all += (all.empty() ? "" : ", ") + std::to_string(*version.version);
    return fail(
        Error(Errc::not_found, "`" + repo.str() + "` has no version " + std::to_string(choice.version))
            .with_hint("available versions: " + (all.empty() ? "none" : all)));
  }
  if (versions.empty())
    return std::vector<Named>{{.version = std::nullopt, .name = "main", .revision = "refs/heads/main"}};
  if (choice.kind == Kind::latest) return std::vector<Named>{versions.back()};
  return versions;
}

Result<std::vector<Named>> choose(const RepoId& repo, const RevisionChoice& choice,
                                  const std::vector<std::string>& branches, const ListingScope& scope) {
  auto versions = version_branches(branches);
  auto chosen = choose_asked(repo, choice, versions);
  if (!chosen || scope.versions == ListingScope::Versions::asked) return chosen;
  for (auto& version : versions) {
    if (std::ranges::find(*chosen, version.name, &Named::name) != chosen->end()) continue;
    version.asked = false;
    chosen->push_back(std::move(version));
  }
  return chosen;
}

/// The metadata to read: variants with the file.
std::vector<std::pair<std::string, const FileEntry*>> metadata_files(const Listing& listing,
                                                                     const ListingScope& scope) {
  using With = ListingScope::WithMetadata;
  std::vector<std::pair<std::string, const FileEntry*>> out;
  if (scope.metadata == With::none || (scope.metadata != With::all && !listing.named.asked)) return out;
  for (const auto& file : listing.files) {
    const auto& path = file.path.str();
    bool is_one = path.starts_with("build/") && file.path.depth() == 2 &&
                  file.path.filename() == "metadata.json" && file.size <= kMostMetadata;
    if (is_one) out.emplace_back(path.substr(6, path.find('/', 6) - 6), &file);
    if (!out.empty() && scope.metadata == With::one) break;
  }
  return out;
}

Result<Metadata> read_metadata(const std::string& variant, std::string_view text) {
  return parse_metadata(text, "`build/" + variant + "/metadata.json`");
}

class HubQuery {
 public:
  HubQuery(const QueryInputs& inputs, const RepoId& repo)
      : repo_(repo),
        client_(hub::make_http_client(http_options(inputs.settings, inputs.user_agent))),
        api_(*client_, inputs.settings.endpoint, inputs.settings.max_retries) {}

  Result<std::vector<Listing>> list(const RevisionChoice& choice, const ListingScope& scope,
                                    const std::stop_token& stop) {
    api_.refs(repo_, [this, &choice, &scope](Result<RepositoryRefs> refs) {
      if (!refs) return give_up(std::move(refs).error());
      std::vector<std::string> branches;
      for (const auto& branch : refs->branches)
        branches.push_back(branch.name);
      auto chosen = choose(repo_, choice, branches, scope);
      if (!chosen) return give_up(std::move(chosen).error());
      for (const auto& named : *chosen)
        ask(named, scope);
    });
    auto driven = client_->run(stop);
    if (failure_) return fail(std::move(*failure_));
    if (!driven) return fail(std::move(driven).error());
    std::vector<Listing> out;
    for (auto& listing : listings_)
      out.push_back(std::move(*listing));
    std::ranges::sort(out, {}, [](const Listing& item) { return item.named.version; });
    return out;
  }

 private:
  void give_up(Error error) {
    if (!failure_) failure_ = std::move(error).while_doing("asking about `" + repo_.str() + "`");
  }

  void ask(const Named& named, const ListingScope& scope) {
    api_.revision(repo_, named.name, [this, named, &scope](Result<RevisionInfo> info) {
      if (!info) return give_up(std::move(info).error());
      api_.build_files(repo_, info->commit,
                       [this, named, &scope, commit = info->commit](Result<std::vector<FileEntry>> files) {
                         if (!files) return give_up(std::move(files).error());
                         listings_.push_back(std::make_unique<Listing>(
                             Listing{.named = named, .commit = commit, .files = std::move(*files)}));
                         ask_metadata(*listings_.back(), scope);
                       });
    });
  }

  void ask_metadata(Listing& listing, const ListingScope& scope) {
    for (const auto& [variant, file] : metadata_files(listing, scope))
      api_.file(repo_, listing.commit.str(), file->path,
                [this, &listing, variant = variant, file = *file](Result<std::string> text) {
                  if (!text) return give_up(std::move(text).error());
                  if (auto good = check_content(file, *text); !good) return give_up(std::move(good).error());
                  listing.metadata.emplace(variant, read_metadata(variant, *text));
                });
  }

  RepoId repo_;
  std::unique_ptr<hub::HttpClient> client_;
  hub::Api api_;
  std::vector<std::unique_ptr<Listing>> listings_;  // answers that are under way refer to them
  std::optional<Error> failure_;
};

Result<std::vector<Listing>> list_cached(const cache::Layout& layout, const RepoId& repo,
                                         const RevisionChoice& choice, const ListingScope& scope) {
  std::vector<std::string> branches;
  for (const auto& ref : cache::list_refs(layout, repo))
    branches.push_back(ref.name);
  auto chosen = choose(repo, choice, branches, scope);
  if (!chosen)
    return fail(std::move(chosen).error().while_doing("looking in the cache, because of offline mode"));
  std::vector<Listing> out;
  for (const auto& named : *chosen) {
    auto asked = Commit::parse(named.name);
    auto commit = asked ? std::optional(*asked) : cache::read_ref(layout, repo, named.name);
    auto files = commit
                     ? cache::list_snapshot_files(layout, repo, *commit)
                     : Result<std::vector<FileEntry>>(fail(
                           Errc::not_found, "the cache does not have `" + repo.str() + "` at " + named.name));
    if (!files && !named.asked) continue;  // another version, of which only the ref is here
    if (!files) return fail(std::move(files).error().with_hint("unset `HF_HUB_OFFLINE` to ask the Hub"));
    Listing listing{.named = named, .commit = *commit, .files = std::move(*files)};
    auto snapshot = layout.snapshot(repo, listing.commit);
    for (const auto& [variant, file] : metadata_files(listing, scope))
      if (auto text = read_file(snapshot / file->path.str(), kMostMetadata))
        listing.metadata.emplace(variant, read_metadata(variant, *text));
    out.push_back(std::move(listing));
  }
  std::ranges::sort(out, {}, [](const Listing& item) { return item.named.version; });
  return out;
}

}  // namespace

Result<std::vector<Listing>> list_revisions(const QueryInputs& inputs, const RepoId& repo,
                                            const RevisionChoice& choice, const ListingScope& scope,
                                            const std::stop_token& stop) {
  if (inputs.settings.offline)
    return list_cached(cache::Layout(inputs.settings.cache, inputs.settings.state), repo, choice, scope);
  return HubQuery(inputs, repo).list(choice, scope, stop);
}

Status check_content(const FileEntry& file, std::string_view bytes) {
  auto hasher = file.blob.hasher(file.size);
  hasher.update(bytes);
  auto hash = hasher.finish_hex();
  if (bytes.size() == file.size && hash == file.blob.str()) return {};
  return fail(Error(Errc::integrity, "`" + file.path.str() + "` has the hash " + hash +
                                         ", but the listing says " + file.blob.str())
                  .with_hint("the server or something on the way changed it"));
}

std::vector<std::string> variant_folders(const std::vector<FileEntry>& files) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const auto& file : files) {
    auto rest = std::string_view(file.path.str());
    if (!rest.starts_with("build/")) continue;
    rest.remove_prefix(6);
    auto slash = rest.find('/');
    if (slash == std::string_view::npos) continue;  // a plain file is no variant
    std::string name(rest.substr(0, slash));
    if (seen.insert(name).second) out.push_back(name);
  }
  return out;
}

/// Metadata that is missing or cannot be read declares nothing; the latter is told to those who want to know.
static resolve::VersionVariants declared(const std::vector<std::string>& names,
                                         const std::map<std::string, Result<Metadata>>& metadata) {
  resolve::VersionVariants out;
  for (auto& variant : resolve::parse_variant_names(names).valid) {
    auto found = metadata.find(variant.name());
    bool known = found != metadata.end() && found->second;
    if (found != metadata.end() && !known) log(LogLevel::info, describe(found->second.error()));
    auto archs = known ? found->second->archs : std::vector<std::string>{};
    out.variants.push_back({.variant = std::move(variant), .archs = std::move(archs)});
  }
  return out;
}

resolve::VersionVariants declared_variants(const Listing& listing) {
  auto out = declared(variant_folders(listing.files), listing.metadata);
  out.version = listing.named.version;
  out.name = listing.named.name;
  return out;
}

Result<fs::path> build_folder(const fs::path& folder) {
  std::error_code code;
  if (fs::is_directory(folder / "build", code)) return folder / "build";
  if (fs::is_directory(folder, code)) return folder;
  return fail(Error(Errc::invalid_argument, "there is no folder `" + folder.string() + "`")
                  .with_hint("give a repository as `organisation/name`, or a folder with `build/`"));
}

Result<std::vector<std::string>> local_names(const fs::path& build) {
  std::vector<std::string> out;
  std::error_code code;
  for (fs::directory_iterator it(build, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) out.push_back(it->path().filename().string());
  }
  if (code) return fail(system_error("list", build.string(), code.value()));
  std::ranges::sort(out);
  return out;
}

Result<resolve::VersionVariants> local_variants(const fs::path& folder) {
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  std::map<std::string, Result<Metadata>> metadata;
  for (const auto& name : *names)
    if (auto text = read_file(*build / name / "metadata.json", kMostMetadata))
      metadata.emplace(name, read_metadata(name, *text));
  return declared(*names, metadata);
}

}  // namespace kernels::ops
