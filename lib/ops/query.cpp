#include "kernels/ops/query.h"

#include <algorithm>
#include <map>
#include <set>

#include "kernels/base/file.h"
#include "kernels/cache/layout.h"
#include "kernels/hub/api.h"
#include "kernels/ops/resolver.h"

namespace kernels::ops {

namespace fs = std::filesystem;

namespace {

struct Named {
  std::optional<std::uint64_t> version;
  std::string name;      // to ask with
  std::string revision;  // to show
};

std::vector<std::string> folder_names(const std::vector<FileEntry>& files) {
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

std::vector<Named> version_branches(const std::vector<std::string>& branches) {
  std::vector<Named> out;
  for (const auto& branch : branches)
    if (auto number = version_branch_number(branch))
      out.push_back({.version = number, .name = branch, .revision = "refs/heads/" + branch});
  std::ranges::sort(out, {}, &Named::version);
  return out;
}

Result<std::vector<Named>> choose(const RepoId& repo, const RevisionChoice& choice,
                                  const std::vector<std::string>& branches) {
  using Kind = RevisionChoice::Kind;
  if (choice.kind == Kind::revision)
    return std::vector<Named>{
        {.version = std::nullopt, .name = choice.revision, .revision = choice.revision}};
  auto versions = version_branches(branches);
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

/// The listings of some revisions: from the Hub, or offline from the cache.
struct Listing {
  Named named;
  Commit commit;
  std::vector<FileEntry> files;
};

class HubQuery {
 public:
  HubQuery(const QueryInputs& inputs, const RepoId& repo)
      : repo_(repo),
        client_(hub::make_http_client(http_options(inputs.settings, inputs.user_agent))),
        api_(*client_, inputs.settings.endpoint, inputs.settings.max_retries) {}

  Result<std::vector<Listing>> list(const RevisionChoice& choice, const std::stop_token& stop) {
    api_.refs(repo_, [this, &choice](Result<RepositoryRefs> refs) {
      if (!refs) return give_up(std::move(refs).error());
      std::vector<std::string> branches;
      for (const auto& branch : refs->branches)
        branches.push_back(branch.name);
      auto chosen = choose(repo_, choice, branches);
      if (!chosen) return give_up(std::move(chosen).error());
      for (const auto& named : *chosen)
        ask(named);
    });
    auto driven = client_->run(stop);
    if (failure_) return fail(std::move(*failure_));
    if (!driven) return fail(std::move(driven).error());
    std::ranges::sort(listings_, {}, [](const Listing& item) { return item.named.version; });
    return std::move(listings_);
  }

  Result<std::string> content(const Listing& listing, const RepoPath& path, const std::stop_token& stop) {
    Result<std::string> out = fail(Errc::network, "no answer");
    api_.file(repo_, listing.commit.str(), path, [&](Result<std::string> text) { out = std::move(text); });
    if (auto driven = client_->run(stop); !driven) return fail(std::move(driven).error());
    return out;
  }

 private:
  void give_up(Error error) {
    if (!failure_) failure_ = std::move(error).while_doing("asking about `" + repo_.str() + "`");
  }
  void ask(const Named& named) {
    api_.revision(repo_, named.name, [this, named](Result<RevisionInfo> info) {
      if (!info) return give_up(std::move(info).error());
      api_.build_files(repo_, info->commit,
                       [this, named, commit = info->commit](Result<std::vector<FileEntry>> files) {
                         if (!files) return give_up(std::move(files).error());
                         listings_.push_back({.named = named, .commit = commit, .files = std::move(*files)});
                       });
    });
  }
  RepoId repo_;
  std::unique_ptr<hub::HttpClient> client_;
  hub::Api api_;
  std::vector<Listing> listings_;
  std::optional<Error> failure_;
};

Result<std::vector<Listing>> list_cached(const cache::Layout& layout, const RepoId& repo,
                                         const RevisionChoice& choice) {
  std::vector<std::string> branches;
  for (const auto& ref : cache::list_refs(layout, repo))
    branches.push_back(ref.name);
  auto chosen = choose(repo, choice, branches);
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
    if (!files) return fail(std::move(files).error().with_hint("unset `HF_HUB_OFFLINE` to ask the Hub"));
    out.push_back({.named = named, .commit = *commit, .files = std::move(*files)});
  }
  return out;
}

RevisionVariants decide_listing(const Listing& listing, const Target& target) {
  auto names = resolve::parse_variant_names(folder_names(listing.files));
  return {.version = listing.named.version,
          .revision = listing.named.revision,
          .name = listing.named.name,
          .decisions = resolve::decide(names.valid, target),
          .invalid = std::move(names.invalid)};
}

std::vector<std::string> backends_of(const std::vector<std::string>& names) {
  std::set<std::string> out;
  for (const auto& variant : resolve::parse_variant_names(names).valid)
    out.insert(variant.framework == Framework::noarch ? variant.noarch_name : variant.backend.name());
  return {out.begin(), out.end()};
}

const FileEntry* find_metadata(const Listing& listing) {
  for (const auto& file : listing.files)
    if (file.path.depth() == 2 && file.path.filename() == "metadata.json") return &file;
  return nullptr;
}

/// `build/` of a repository, or the folder itself if it holds variants.
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

}  // namespace

Result<RepositoryVariants> list_variants(const QueryInputs& inputs, const RepoId& repo,
                                         const RevisionChoice& choice, const Target& target,
                                         const std::stop_token& stop) {
  auto listings = inputs.settings.offline ? list_cached(cache::Layout(inputs.settings.cache), repo, choice)
                                          : HubQuery(inputs, repo).list(choice, stop);
  if (!listings) return fail(std::move(listings).error());
  RepositoryVariants out{.repo_id = repo.str(), .path = {}, .revisions = {}};
  for (const auto& listing : *listings)
    out.revisions.push_back(decide_listing(listing, target));
  return out;
}

Result<RepositoryVariants> list_local_variants(const fs::path& folder, const Target& target) {
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  auto parsed = resolve::parse_variant_names(*names);
  RevisionVariants revision{.version = std::nullopt,
                            .revision = {},
                            .name = {},
                            .decisions = resolve::decide(parsed.valid, target),
                            .invalid = std::move(parsed.invalid)};
  return RepositoryVariants{.repo_id = {}, .path = folder.string(), .revisions = {std::move(revision)}};
}

static Error no_variants(const std::string& where) {
  return Error(Errc::no_match, where + " has no build variants")
      .with_hint("they are the folders below `build/`");
}

Result<KernelInfo> describe_kernel(const QueryInputs& inputs, const RepoId& repo,
                                   const RevisionChoice& choice, const std::stop_token& stop) {
  bool offline = inputs.settings.offline;
  cache::Layout layout(inputs.settings.cache);
  HubQuery hub(inputs, repo);
  auto listings = offline ? list_cached(layout, repo, choice) : hub.list(choice, stop);
  if (!listings) return fail(std::move(listings).error());
  const auto& listing = listings->front();
  auto names = folder_names(listing.files);
  if (names.empty()) return fail(no_variants("`" + repo.str() + "` at " + listing.named.name));
  KernelInfo out{.repo_id = repo.str(),
                 .path = {},
                 .revision = listing.named.name,
                 .metadata = std::nullopt,
                 .backends = backends_of(names)};
  const auto* file = find_metadata(listing);
  if (file == nullptr) return out;
  auto text = offline ? read_file(layout.snapshot(repo, listing.commit) / file->path.str())
                      : hub.content(listing, file->path, stop);
  if (!text) return fail(std::move(text).error());
  auto metadata = parse_metadata(*text, "`" + file->path.str() + "` of `" + repo.str() + "`");
  if (!metadata) return fail(std::move(metadata).error());
  out.metadata = std::move(*metadata);
  return out;
}

Result<KernelInfo> describe_local_kernel(const fs::path& folder) {
  auto build = build_folder(folder);
  if (!build) return fail(std::move(build).error());
  auto names = local_names(*build);
  if (!names) return fail(std::move(names).error());
  KernelInfo out{.repo_id = {},
                 .path = folder.string(),
                 .revision = {},
                 .metadata = std::nullopt,
                 .backends = backends_of(*names)};
  if (resolve::parse_variant_names(*names).valid.empty())
    return fail(no_variants("`" + folder.string() + "`"));
  for (const auto& name : *names) {
    auto file = *build / name / "metadata.json";
    auto text = read_file(file, 8 << 20);
    if (!text) continue;
    auto metadata = parse_metadata(*text, "`" + file.string() + "`");
    if (!metadata) return fail(std::move(metadata).error());
    out.metadata = std::move(*metadata);
    break;
  }
  return out;
}

}  // namespace kernels::ops
