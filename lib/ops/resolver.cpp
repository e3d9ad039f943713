// Resolution as a set of small state machines, one per repository and requirement ("node"), that all wait for
// answers at the same time. A node goes through: status file and refs → (redirect) → commit → listing →
// metadata and layer sources. What several nodes share (refs of a repository, trust of a publisher, a
// listing, a metadata file) is asked for once. Nothing is decided by the order of arrival: nodes only store
// answers, and the lock is built from them at the end.

#include "kernels/ops/resolver.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "kernels/hub/api.h"
#include "kernels/ops/trust.h"

#include "choose_ref.h"
#include "layer_checks.h"
#include "listing.h"

namespace kernels::ops {

namespace {

struct NodeKey {
  RepoId repo;
  std::string requirement;
  auto operator<=>(const NodeKey&) const = default;
};

struct Node {
  Node(RepoId name, Requirement wanted)
      : asked(name), repo(std::move(name)), requirement(std::move(wanted)) {}
  RepoId asked;
  RepoId repo;  // after a redirect
  Requirement requirement;
  bool direct = false;
  bool trust = false;  // the project says so
  TrustSource trust_source = TrustSource::hub;
  std::optional<Commit> commit;
  std::string ref;
  bool ref_is_tag = false;
  std::string hub_name;
  std::vector<FileEntry> files;
  std::map<std::string, Metadata> metadata;  // by variant
  std::vector<NodeKey> needs;
  std::set<BlobId> layer_sources;           // asked for
  std::vector<const ProjectLayer*> layers;  // rows of the mapping that name this kernel
  const LockedKernel* kept = nullptr;       // from the earlier lock, complete
};

/// Several askers, one answer.
template <class T>
class Shared {
 public:
  /// True if the caller is the first and has to ask.
  bool join(hub::Then<T> then) {
    if (answer_) {
      then(*answer_);
      return false;
    }
    waiting_.push_back(std::move(then));
    return waiting_.size() == 1;
  }
  void deliver(Result<T> answer) {
    answer_ = std::move(answer);
    for (auto& then : std::exchange(waiting_, {}))
      then(*answer_);
  }

 private:
  std::optional<Result<T>> answer_;
  std::vector<hub::Then<T>> waiting_;
};

std::string variant_of(const RepoPath& path) {
  auto rest = std::string_view(path.str()).substr(6);  // after "build/"
  return std::string(rest.substr(0, rest.find('/')));
}

/// The files below `build/` by variant, in the order in which the listing first names each variant.
std::vector<LockedVariant> group_variants(const std::vector<FileEntry>& files) {
  std::vector<LockedVariant> out;
  std::map<std::string, std::size_t> index;
  for (const auto& file : files) {
    if (file.path.is_bytecode() || !file.path.str().starts_with("build/")) continue;
    auto name = variant_of(file.path);
    auto [found, is_new] = index.emplace(name, out.size());
    if (is_new) out.push_back({.name = name, .files = {}, .metadata = std::nullopt});
    out[found->second].files.push_back(file);
  }
  for (auto& variant : out)
    std::ranges::sort(variant.files);
  return out;
}

const RepoPath& status_path() {
  static const RepoPath path = *RepoPath::parse("kernel-status.toml");
  return path;
}

class Resolver {
 public:
  Resolver(const ResolveInputs& inputs, hub::HttpClient& client)
      : inputs_(inputs),
        client_(client),
        api_(client, inputs.settings.endpoint, inputs.settings.max_retries) {}

  Result<Resolution> run(const std::stop_token& stop) {
    for (const auto& dependency : inputs_.project.dependencies)
      add(dependency.repo, dependency.requirement, {.direct = true, .trust = dependency.trust});
    for (const auto& layer : inputs_.project.layers) {
      auto key = add(layer.repo, layer.requirement, {.direct = true, .trust = layer.trust});
      nodes_.at(key)->layers.push_back(&layer);
    }
    for (const auto& key : order_)
      if (const auto* kept = nodes_.at(key)->kept) read_layers(*nodes_.at(key), kept->variants);
    auto driven = client_.run(stop);
    if (failure_) return fail(std::move(*failure_));
    if (!driven) return fail(std::move(driven).error());
    if (auto acyclic = refuse_cycles(); !acyclic) return fail(std::move(acyclic).error());
    return build();
  }

 private:
  struct Origin {
    bool direct = false;
    bool trust = false;
  };

  void give_up(Error error) {
    if (!failure_) failure_ = std::move(error);
  }
  /// The value, or nothing after remembering the error with what was being done.
  template <class T>
  std::optional<T> value_of(Result<T>&& result, const Node& node) {
    if (failure_) return std::nullopt;
    if (result) return std::move(*result);
    give_up(std::move(result).error().while_doing("locking `" + node.asked.str() + "` (" +
                                                  node.requirement.display() + ")"));
    return std::nullopt;
  }

  NodeKey add(const RepoId& repo, const Requirement& requirement, Origin origin) {
    NodeKey key{.repo = repo, .requirement = requirement.display()};
    auto [it, is_new] = nodes_.try_emplace(key, nullptr);
    if (is_new) {
      it->second = std::make_unique<Node>(repo, requirement);
      order_.push_back(key);
    }
    Node& node = *it->second;
    node.direct |= origin.direct;
    node.trust |= origin.trust;
    if (is_new && !keep(node)) inputs_.locked_only ? refuse_unlocked(node) : start(node);
    return key;
  }

  void refuse_unlocked(const Node& node) {
    give_up(Error(Errc::not_found, "`" + node.asked.str() + "` (" + node.requirement.display() +
                                       ") is needed by a locked kernel, but is not locked itself")
                .with_hint("run `kernels lock`"));
  }

  // --- pins of the earlier lock ---

  bool trust_still_holds(const LockedKernel& kernel, const Node& node) const {
    switch (kernel.trust) {
      case TrustSource::hub:
        return true;
      case TrustSource::project:
        return project_trusts(kernel.repo);
      case TrustSource::dependency:
        return dependency_trusts(node, kernel.repo);
    }
    return false;
  }

  bool project_trusts(const RepoId& repo) const { return names_publisher(inputs_.project, repo.publisher()); }

  /// `trust = true` was said of the repository that was asked for: not of others to whom it leads.
  bool dependency_trusts(const Node& node, const RepoId& destination) const {
    bool is_same_publisher = node.asked.publisher() == destination.publisher();
    return (node.trust && is_same_publisher) || trusts_repository(inputs_.project, destination);
  }

  bool keep(Node& node) {
    if (inputs_.previous == nullptr || inputs_.upgrade.includes(node.asked)) return false;
    if (!inputs_.previous->sum) return keep_pin(node);
    for (const auto& kernel : inputs_.previous->sum->kernels) {
      bool same =
          kernel.asked_for.value_or(kernel.repo) == node.asked && kernel.requirement == node.requirement;
      if (!same || !trust_still_holds(kernel, node)) continue;
      node.kept = &kernel;
      node.commit = kernel.commit;
      node.repo = kernel.repo;
      for (const auto& variant : kernel.variants)
        if (variant.metadata) add_needs(node, *variant.metadata);
      return true;
    }
    return false;
  }

  /// Only the commit is known: everything else is asked for at that commit.
  bool keep_pin(Node& node) {
    for (const auto& pin : inputs_.previous->pins.pins) {
      bool same = pin.repo == node.asked && (!pin.requirement || *pin.requirement == node.requirement);
      if (!same) continue;
      node.commit = pin.commit;
      const auto* number = node.requirement.version();
      const auto* revision = node.requirement.revision();
      node.ref = number != nullptr     ? "v" + std::to_string(*number)
                 : revision != nullptr ? *revision
                                       : pin.commit.str();
      check_trust(node);
      list(node);
      return true;
    }
    return false;
  }

  // --- asking ---

  void start(Node& node) {
    auto& status = statuses_[node.asked];
    bool first = status.join([this, &node](Result<std::optional<Redirect>> answer) {
      auto redirect = value_of(std::move(answer), node);
      if (!redirect) return;
      if (*redirect) follow(node, **redirect);
      find_commit(node);
      check_trust(node);
    });
    if (first) ask_status(node.asked);
    // Asked at the same time, for the common case that there is no redirect.
    prefetch(node);
  }

  void prefetch(Node& node) {
    if (node.requirement.revision() == nullptr) with_refs(node.asked, [](const Result<RepositoryRefs>&) {});
    if (!project_trusts(node.asked) && !node.trust)
      with_publisher(node.asked.publisher(), [](const Result<bool>&) {});
  }

  void ask_status(const RepoId& repo) {
    api_.file(repo, "main", status_path(), [this, repo](Result<std::string> text) {
      auto& shared = statuses_[repo];
      // Absent, missing and private repositories are not redirected; what is wrong shows in the next answer.
      bool absent =
          !text && (text.error().code() == Errc::not_found || text.error().code() == Errc::access_denied);
      if (absent) return shared.deliver(std::optional<Redirect>());
      if (!text) return shared.deliver(fail(std::move(text).error()));
      auto redirect = parse_kernel_status(*text, "`kernel-status.toml` of `" + repo.str() + "`");
      if (!redirect) return shared.deliver(fail(std::move(redirect).error()));
      shared.deliver(std::optional<Redirect>(std::move(*redirect)));
    });
  }

  /// A version number or specifier is looked up again at the destination; a revision becomes the one it
  /// names.
  void follow(Node& node, const Redirect& redirect) {
    node.repo = redirect.destination;
    if (node.requirement.revision() != nullptr)
      node.requirement = Requirement::of_revision(redirect.revision);
    warnings_.push_back("`" + node.asked.str() + "` was moved to `" + node.repo.str() +
                        "`; the lock pins the destination");
  }

  void with_refs(const RepoId& repo, hub::Then<RepositoryRefs> then) {
    if (refs_[repo].join(std::move(then)))
      api_.refs(repo,
                [this, repo](Result<RepositoryRefs> answer) { refs_[repo].deliver(std::move(answer)); });
  }

  void with_publisher(const std::string& publisher, hub::Then<bool> then) {
    if (publishers_[publisher].join(std::move(then)))
      api_.is_trusted_publisher(publisher, [this, publisher](Result<bool> answer) {
        publishers_[publisher].deliver(std::move(answer));
      });
  }

  void check_trust(Node& node) {
    if (project_trusts(node.repo)) {
      node.trust_source = TrustSource::project;
      return;
    }
    if (dependency_trusts(node, node.repo)) {
      node.trust_source = TrustSource::dependency;
      return;
    }
    ask_publisher(node, node.repo);
  }

  /// Where the Hub keeps a repository under another name, its publisher there counts as well.
  void check_trust_of_present_name(Node& node) {
    auto present = RepoId::parse(node.hub_name);
    if (!present || present->publisher() == node.repo.publisher()) return;
    if (project_trusts(*present))
      node.trust_source = TrustSource::project;
    else if (!trusts_repository(inputs_.project, *present))
      ask_publisher(node, *present);
  }

  void ask_publisher(Node& node, const RepoId& repo) {
    with_publisher(repo.publisher(), [this, &node, repo](Result<bool> answer) {
      auto trusted = value_of(std::move(answer), node);
      if (!trusted || *trusted) return;
      auto moved = repo == node.asked ? std::string() : ", to which `" + node.asked.str() + "` was moved,";
      give_up(Error(Errc::untrusted, "the Hub does not mark `" + repo.publisher() + "`, the publisher of `" +
                                         repo.str() + "`" + (moved.empty() ? "," : moved) + " as trusted")
                  .with_hint("kernels run with your rights; if you trust this one, write `" +
                             hint_for_trust(node, repo) + "`, or name the publisher below `[trust]`")
                  .while_doing("locking `" + node.asked.str() + "`"));
    });
  }

  static std::string hint_for_trust(const Node& node, const RepoId& repo) {
    const auto* number = node.requirement.version();
    std::string what = number != nullptr ? "version = " + std::to_string(*number)
                       : node.requirement.specifier() != nullptr
                           ? "version = \"" + node.requirement.specifier()->str() + "\""
                           : "revision = \"" + *node.requirement.revision() + "\"";
    return "\"" + repo.str() + "\" = { " + what + ", trust = true }";
  }

  void find_commit(Node& node) {
    if (const auto* revision = node.requirement.revision()) {
      node.ref = *revision;
      api_.revision(node.repo, *revision, [this, &node](Result<RevisionInfo> answer) {
        auto info = value_of(std::move(answer), node);
        if (!info) return;
        node.commit = info->commit;
        if (!info->id.empty() && info->id != node.repo.str()) node.hub_name = info->id;
        check_trust_of_present_name(node);
        list(node);
      });
      return;
    }
    with_refs(node.repo, [this, &node](Result<RepositoryRefs> answer) {
      auto refs = value_of(std::move(answer), node);
      if (!refs) return;
      const auto* number = node.requirement.version();
      auto chosen = value_of(number != nullptr ? choose_version(node.repo, *number, *refs)
                                               : choose_tag(node.repo, *node.requirement.specifier(), *refs),
                             node);
      if (!chosen) return;
      node.commit = chosen->commit;
      node.ref = chosen->ref;
      node.ref_is_tag = chosen->is_tag;
      node.hub_name = refs->renamed_to;
      check_trust_of_present_name(node);
      list(node);
    });
  }

  void list(Node& node) {
    auto& shared = listings_[{node.repo, *node.commit}];
    bool first = shared.join([this, &node](Result<std::vector<FileEntry>> answer) {
      auto files = value_of(std::move(answer), node);
      if (!files) return;
      node.files = std::move(*files);
      if (node.files.empty())
        return give_up(
            Error(Errc::no_match, "`" + node.repo.str() + "` has no `build/` folder at " + node.ref)
                .with_hint("it may hold sources only; `kernels versions " + node.repo.str() +
                           "` lists what is built")
                .while_doing("locking `" + node.asked.str() + "`"));
      read_metadata(node);
      read_layers(node, group_variants(node.files));
    });
    if (first)
      api_.build_files(node.repo, *node.commit, [&shared](Result<std::vector<FileEntry>> answer) {
        shared.deliver(std::move(answer));
      });
  }

  void read_metadata(Node& node) {
    for (const auto& variant : group_variants(node.files)) {
      auto path = "build/" + variant.name + "/metadata.json";
      auto found =
          std::ranges::find(variant.files, path, [](const FileEntry& file) { return file.path.str(); });
      if (found == variant.files.end()) continue;
      const FileEntry& file = *found;
      auto& shared = contents_[file.blob];
      bool first = shared.join([this, &node, name = variant.name, path](Result<std::string> answer) {
        auto text = value_of(std::move(answer), node);
        if (!text) return;
        auto metadata = value_of(parse_metadata(*text, "`" + path + "` of `" + node.repo.str() + "`"), node);
        if (!metadata) return;
        add_needs(node, *metadata);
        node.metadata.emplace(name, std::move(*metadata));
      });
      if (first) fetch_checked(node, file, shared);
    }
  }

  /// What an earlier lock recorded of this layer at this commit, if it looked.
  const LayerFacts* earlier_facts(const ProjectLayer& layer, const Node& node) const {
    if (node.kept == nullptr) return nullptr;
    for (const auto& item : inputs_.previous->sum->layers) {
      bool same = item.repo == node.repo && item.commit == node.kept->commit && item.device == layer.device &&
                  item.kernel_layer == layer.kernel_layer;
      if (same && item.facts) return &*item.facts;
    }
    return nullptr;
  }

  void read_layers(Node& node, const std::vector<LockedVariant>& variants) {
    for (const auto* layer : node.layers) {
      if (earlier_facts(*layer, node) != nullptr) continue;
      auto files = find_layer_files(variants, node.repo, layer->device);
      for (const auto* list : {&files.python, &files.native})
        for (const auto& file : *list)
          read_layer_file(node, file);
    }
  }

  void read_layer_file(Node& node, const FileEntry& file) {
    if (!node.layer_sources.insert(file.blob).second) return;
    auto& shared = contents_[file.blob];
    bool first = shared.join([this, &node, file](Result<std::string> answer) {
      if (auto text = value_of(std::move(answer), node)) layer_sources_.add(file, *text);
    });
    if (first) fetch_checked(node, file, shared);
  }

  /// A small file whose hash the listing gave: the same rule as for every other byte.
  void fetch_checked(const Node& node, const FileEntry& file, Shared<std::string>& shared) {
    api_.file(node.repo, node.commit->str(), file.path, [file, &shared](Result<std::string> text) {
      if (!text) return shared.deliver(std::move(text));
      if (auto good = check_content(file, *text); !good) return shared.deliver(fail(std::move(good).error()));
      shared.deliver(std::move(text));
    });
  }

  void add_needs(Node& node, const Metadata& metadata) {
    for (const auto& dependency : metadata.kernel_depends) {
      const auto* number = std::get_if<std::uint64_t>(&dependency.version);
      auto requirement = number != nullptr
                             ? Requirement::of_version(*number)
                             : Requirement::of_revision(std::get<std::string>(dependency.version));
      // The reference is to a map's value: it stays while others are added.
      auto key = add(dependency.repo, requirement, {});
      if (std::ranges::find(node.needs, key) == node.needs.end()) node.needs.push_back(key);
    }
  }

  // --- the result ---

  Status refuse_cycles() const {
    std::map<NodeKey, int> state;  // 1: on the path, 2: done
    std::vector<NodeKey> path;
    auto visit = [&](auto&& self, const NodeKey& key) -> Status {
      if (state[key] == 2) return {};
      path.push_back(key);
      if (state[key] == 1) {
        std::string circle;
        for (auto it = std::ranges::find(path, key); it != path.end(); ++it)
          circle += (circle.empty() ? "`" : " -> `") + it->repo.str() + "`";
        return fail(Errc::invalid_argument, "kernels need each other in a circle: " + circle);
      }
      state[key] = 1;
      for (const auto& next : nodes_.at(key)->needs)
        if (auto status = self(self, next); !status) return status;
      state[key] = 2;
      path.pop_back();
      return {};
    };
    for (const auto& key : order_)
      if (auto status = visit(visit, key); !status) return status;
    return {};
  }

  LockedKernel to_locked(const Node& node) {
    if (node.kept != nullptr) {
      auto kernel = *node.kept;
      kernel.direct = node.direct;
      return kernel;
    }
    LockedKernel kernel{.repo = node.repo,
                        .requirement = node.requirement,
                        .commit = *node.commit,
                        .ref = node.ref,
                        .ref_is_tag = node.ref_is_tag,
                        .asked_for = node.asked == node.repo ? std::nullopt : std::optional(node.asked),
                        .hub_name = node.hub_name,
                        .direct = node.direct,
                        .trust = node.trust_source,
                        .variants = group_variants(node.files)};
    for (auto& variant : kernel.variants) {
      auto found = node.metadata.find(variant.name);
      std::string file = "`build/" + variant.name + "/metadata.json` of `" + node.repo.str() + "`";
      if (found == node.metadata.end()) {
        warnings_.push_back(file + " is missing; today's Python packages refuse to load this variant");
        continue;
      }
      variant.metadata = found->second;
      variant.metadata->digest_files.clear();  // the hashes of the listing say the same
      if (!found->second.missing.empty())
        warnings_.push_back(file + " lacks " + list_names(found->second.missing));
    }
    return kernel;
  }

  Result<LayerFacts> facts_of(const ProjectLayer& layer, const Node& node) {
    if (const auto* facts = earlier_facts(layer, node)) {
      if (auto fits = check_layer_mode(layer, *facts, node.repo); !fits) return fail(std::move(fits).error());
      return *facts;
    }
    auto checked = check_layer(layer, node.kept != nullptr ? node.kept->variants : group_variants(node.files),
                               node.repo, layer_sources_);
    if (!checked) return fail(std::move(checked).error());
    warnings_.insert(warnings_.end(), checked->warnings.begin(), checked->warnings.end());
    return std::move(checked->facts);
  }

  Result<LockedLayer> to_locked(const ProjectLayer& layer) {
    const auto& node = *nodes_.at({.repo = layer.repo, .requirement = layer.requirement.display()});
    auto facts = facts_of(layer, node);
    if (!facts) return fail(std::move(facts).error());
    return LockedLayer{.layer = layer.layer,
                       .device = layer.device,
                       .mode = layer.mode,
                       .capabilities = layer.capabilities,
                       .repo = node.repo,
                       .commit = *node.commit,
                       .kernel_layer = layer.kernel_layer,
                       .facts = std::move(*facts)};
  }

  Result<Resolution> build() {
    Resolution out;
    std::vector<NodeKey> indirect;
    for (const auto& key : order_) {
      if (nodes_.at(key)->direct)
        out.lock.kernels.push_back(to_locked(*nodes_.at(key)));
      else
        indirect.push_back(key);
    }
    std::ranges::sort(indirect);
    for (const auto& key : indirect)
      out.lock.kernels.push_back(to_locked(*nodes_.at(key)));
    for (const auto& layer : inputs_.project.layers) {
      auto locked = to_locked(layer);
      if (!locked) return fail(std::move(locked).error());
      out.lock.layers.push_back(std::move(*locked));
    }
    if (auto same = check_same_forward(inputs_.project.layers, out.lock.layers); !same)
      return fail(std::move(same).error());
    std::ranges::sort(warnings_);
    // Several rows can be about one layer.
    auto twice = std::ranges::unique(warnings_);
    warnings_.erase(twice.begin(), twice.end());
    out.warnings = std::move(warnings_);
    out.counters = client_.counters();
    return out;
  }

  const ResolveInputs& inputs_;
  hub::HttpClient& client_;
  hub::Api api_;
  std::map<NodeKey, std::unique_ptr<Node>> nodes_;
  std::vector<NodeKey> order_;
  std::map<RepoId, Shared<std::optional<Redirect>>> statuses_;
  std::map<RepoId, Shared<RepositoryRefs>> refs_;
  std::map<std::string, Shared<bool>> publishers_;
  std::map<std::pair<RepoId, Commit>, Shared<std::vector<FileEntry>>> listings_;
  std::map<BlobId, Shared<std::string>> contents_;
  LayerSources layer_sources_;
  std::vector<std::string> warnings_;
  std::optional<Error> failure_;
};

}  // namespace

hub::HttpOptions http_options(const hub::Settings& settings, const std::string& user_agent) {
  return {.endpoint = settings.endpoint,
          .token = settings.token,
          .plain_http = settings.plain_http,
          .user_agent = user_agent,
          .ca_file = settings.ca_file,
          .connect_timeout = settings.connect_timeout,
          .stall_timeout = settings.stall_timeout,
          .max_connections = 64};
}

Result<Resolution> resolve_project(const ResolveInputs& inputs, const std::stop_token& stop) {
  auto client = hub::make_http_client(http_options(inputs.settings, inputs.user_agent));
  return Resolver(inputs, *client).run(stop);
}

}  // namespace kernels::ops
